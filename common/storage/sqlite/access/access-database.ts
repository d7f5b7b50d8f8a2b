import { randomBytes } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { NebulaError } from "../../../errors/nebula-error.ts";
import { inTransaction } from "../open-database.ts";
import { type Attempt, attemptOf, optional, text } from "../statements.ts";

/** The owner of the hash of a token. */
export type ClaimedBy = Readonly<{ kind: "user" | "device" | "enrolment"; owner: string }>;

/** The state that the parts of the access store share: the file, its stamp (A1), and the one owner of every token's hash (A3). */
export type AccessDatabase = Readonly<{
  /** A statement whose integers are read as bigint. */
  prepare(sql: string): StatementSync;
  attempt: Attempt;
  /** All of `work` is stored, or nothing. */
  change: Attempt;
  stamp(): string;
  renewStamp(): void;
  /** Makes the hash this owner's; rejects with `already_exists` when it is another's. The empty hash is nobody's. */
  claim(hash: string, owner: ClaimedBy): void;
  ownerOf(hash: string): ClaimedBy | undefined;
  release(hash: string): void;
}>;

export function createAccessDatabase(database: DatabaseSync): AccessDatabase {
  function prepare(sql: string): StatementSync {
    const statement = database.prepare(sql);
    statement.setReadBigInts(true);
    return statement;
  }
  const attempt = attemptOf("access");
  const readStamp = prepare("SELECT value FROM stamp WHERE only = 1");
  const putStamp = prepare("INSERT INTO stamp (only, value) VALUES (1, ?) ON CONFLICT (only) DO UPDATE SET value = excluded.value");
  const selectOwner = prepare("SELECT kind, owner FROM token WHERE hash = ?");
  const putToken = prepare("INSERT INTO token (hash, kind, owner) VALUES (?, ?, ?)");
  const dropToken = prepare("DELETE FROM token WHERE hash = ?");

  function renewStamp(): void {
    putStamp.run(randomBytes(16).toString("hex"));
  }

  function ownerOf(hash: string): ClaimedBy | undefined {
    return optional(selectOwner.get(hash), (row) => {
      const kind = text(row, "kind");
      if (kind !== "user" && kind !== "device" && kind !== "enrolment") throw new TypeError("the kind of a token is damaged");
      return { kind, owner: text(row, "owner") };
    });
  }

  if (readStamp.get() === undefined) renewStamp();
  return {
    prepare,
    attempt,
    change: (what, work) => attempt(what, () => inTransaction(database, work)),
    stamp: () => text(readStamp.get() ?? {}, "value"),
    renewStamp,
    claim(hash, { kind, owner }) {
      if (hash === "") return;
      const before = ownerOf(hash);
      if (before === undefined) putToken.run(hash, kind, owner);
      else if (before.kind !== kind || before.owner !== owner)
        throw new NebulaError("already_exists", "this token is in use already: make another one"); // the owner stays unnamed
    },
    ownerOf,
    release: (hash) => void dropToken.run(hash),
  };
}

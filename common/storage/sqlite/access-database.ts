import { randomBytes } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { NebulaError } from "../../errors/nebula-error.ts";
import type { Page } from "../config-store.ts";
import { type Attempt, attemptOf } from "./attempt.ts";
import { inTransaction } from "./open-database.ts";
import { type Row, text } from "./rows.ts";

/** Whose a token's hash is. */
export type TokenOwner = Readonly<{ kind: "user" | "device" | "enrolment"; owner: string }>;

/** What the parts of the access store share: the file, its stamp (A1), and the one owner of every token's hash (A3). */
export type AccessDatabase = Readonly<{
  /** A statement whose integers are read as bigint. */
  prepare(sql: string): StatementSync;
  attempt: Attempt;
  /** All of `work` is stored, or nothing. */
  change: Attempt;
  stamp(): string;
  renewStamp(): void;
  /** Makes the hash this owner's; rejects with `already_exists` when it is another's. The empty hash is nobody's. */
  claim(hash: string, owner: TokenOwner): void;
  isClaimed(hash: string): boolean;
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
  const ownerOf = prepare("SELECT kind, owner FROM token WHERE hash = ?");
  const putToken = prepare("INSERT INTO token (hash, kind, owner) VALUES (?, ?, ?)");
  const dropToken = prepare("DELETE FROM token WHERE hash = ?");

  function renewStamp(): void {
    putStamp.run(randomBytes(16).toString("hex"));
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
      const row = ownerOf.get(hash);
      if (row === undefined) putToken.run(hash, kind, owner);
      else if (row.kind !== kind || row.owner !== owner) throw new NebulaError("already_exists", "this token is in use already: make another one"); // whose it is stays untold
    },
    isClaimed: (hash) => ownerOf.get(hash) !== undefined,
    release: (hash) => void dropToken.run(hash),
  };
}

/** A page of what the statement yields; it was asked for one row more than `limit`. */
export function pageOfRows<T>(rows: Iterable<Row>, limit: number, item: (row: Row) => T, position: (item: T, row: Row) => string): Page<T> {
  const items: T[] = [];
  let next: string | undefined;
  for (const row of rows) {
    // the row after the page's last one is read only to know that there is one
    if (items.length === limit) return { items, next };
    const read = item(row);
    items.push(read);
    next = position(read, row);
  }
  return { items, next: undefined };
}

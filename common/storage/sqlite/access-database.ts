import { randomBytes } from "node:crypto";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { isNebulaError, messageOf, NebulaError } from "../../errors/nebula-error.ts";
import type { Page } from "../config-store.ts";
import { inTransaction } from "./open-database.ts";

export type Row = Record<string, SQLOutputValue>;

/** Whose a token's hash is. */
export type TokenOwner = Readonly<{ kind: "user" | "device" | "enrolment"; owner: string }>;

/** What the parts of the access store share: the file, its stamp (A1), and the one owner of every token's hash (A3). */
export type AccessDatabase = Readonly<{
  /** A statement whose integers are read as bigint. */
  prepare(sql: string): StatementSync;
  /** Does what SQLite may refuse (a full disk, a closed database): that is `unavailable`. */
  attempt<T>(what: string, work: () => T): T;
  /** As attempt: all of `work` is stored, or nothing. */
  change<T>(what: string, work: () => T): T;
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
  const readStamp = prepare("SELECT value FROM stamp WHERE only = 1");
  const putStamp = prepare("INSERT INTO stamp (only, value) VALUES (1, ?) ON CONFLICT (only) DO UPDATE SET value = excluded.value");
  const ownerOf = prepare("SELECT kind, owner FROM token WHERE hash = ?");
  const putToken = prepare("INSERT INTO token (hash, kind, owner) VALUES (?, ?, ?)");
  const dropToken = prepare("DELETE FROM token WHERE hash = ?");

  function attempt<T>(what: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (isNebulaError(error) || !isSqliteError(error)) throw error;
      throw new NebulaError("unavailable", `the access store could not ${what}: ${messageOf(error)}`, { cause: error });
    }
  }

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

export function optional<T>(row: Row | undefined, read: (row: Row) => T): T | undefined {
  return row === undefined ? undefined : read(row);
}

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} holds no text`);
  return value;
}

export function bigint(row: Row, column: string): bigint {
  const value = row[column];
  if (typeof value !== "bigint") throw new TypeError(`column ${column} holds no integer`);
  return value;
}

export function integer(row: Row, column: string): number {
  return Number(bigint(row, column));
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} holds no bytes`);
  return value;
}

/** node:sqlite has codes of its own: ERR_SQLITE_ERROR for what SQLite answers, ERR_INVALID_STATE for a database that is closed. */
function isSqliteError(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ERR_SQLITE_ERROR" || error.code === "ERR_INVALID_STATE");
}

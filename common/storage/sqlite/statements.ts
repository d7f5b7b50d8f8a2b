/** Statements of SQLite: their errors, the columns of their rows, and their pages. */
import type { SQLOutputValue } from "node:sqlite";
import { isNebulaError, messageOf, NebulaError } from "../../errors/nebula-error.ts";
import { PAGE_BYTES } from "../page.ts";

// --- errors

/** Runs work that SQLite may refuse (a full disk, a closed database), which is `unavailable`: it may succeed later. `what` continues `could not`. */
export type Attempt = <T>(what: string, work: () => T) => T;

/** @param store the name of the store in errors: `access`, `report` */
export function attemptOf(store: string): Attempt {
  return (what, work) => {
    try {
      return work();
    } catch (error) {
      if (isNebulaError(error) || !isSqliteError(error)) throw error;
      throw new NebulaError("unavailable", `the ${store} store could not ${what}: ${messageOf(error)}`, { cause: error });
    }
  };
}

/** The codes of node:sqlite: ERR_SQLITE_ERROR for an error of SQLite, ERR_INVALID_STATE for a database that is closed. */
function isSqliteError(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ERR_SQLITE_ERROR" || error.code === "ERR_INVALID_STATE");
}

// --- rows

/** A row, by column; by the number of the column where its statement returns arrays, which takes half as long. The readers below throw a TypeError if a column holds another type than it was written with. */
export type Row = Record<string, SQLOutputValue>;

export function optional<T>(row: Row | undefined, read: (row: Row) => T): T | undefined {
  return row === undefined ? undefined : read(row);
}

export function text(row: Row, column: string | number): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} holds no text`);
  return value;
}

export function bigint(row: Row, column: string | number): bigint {
  const value = row[column];
  if (typeof value !== "bigint") throw new TypeError(`column ${column} holds no integer`);
  return value;
}

/** Of a statement that reads integers as numbers, or as bigints. */
export function integer(row: Row, column: string | number): number {
  const value = row[column];
  return typeof value === "number" ? value : Number(bigint(row, column));
}

export function bytes(row: Row, column: string | number): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} holds no bytes`);
  return value;
}

// --- bodies

/** The bodies of rows, one after the other, and their lengths. */
export type Bodies = Readonly<{ bytes: Uint8Array; lengths: readonly number[] }>;

/**
 * Returns the columns of a statement whose one row holds the bodies of all rows of a subquery, in its order, for `bodiesOf`: a blob of each of many rows takes
 * node:sqlite longer than SQLite takes to read it, and is one more buffer to collect.
 *
 * `group_concat` takes the bytes of a blob for text without looking at them, and a text that is cast to a blob has all of its bytes, those after a NUL too
 * (https://sqlite.org/nulinstr.html).
 */
export function bodiesColumns(body: string): string {
  return `CAST(group_concat(${body}, '') AS BLOB), json_group_array(octet_length(${body}))`;
}

/** @param row the columns that `bodiesColumns` names, as a list. Throws a TypeError if SQLite changed a body on its way. */
export function bodiesOf(row: Row): Bodies {
  const bodies = row[0] === null ? new Uint8Array() : bytes(row, 0); // NULL: of no rows
  const lengths: number[] = JSON.parse(text(row, 1));
  if (lengths.reduce((sum, length) => sum + length, 0) !== bodies.length) throw new TypeError("the bodies of rows have not their lengths");
  return { bytes: bodies, lengths };
}

// --- pages

type RowPage<T, Next> = Readonly<{ items: readonly T[]; next: Next | undefined }>;

/**
 * Reads a page from the rows of a statement that yields one row more than `limit`: that row shows that there is a next page.
 * @param position returns where a page that ends with this item continues
 * @param bytesOf returns the bytes of an item; a page ends when its items reach PAGE_BYTES
 */
export function pageOfRows<T, Next>(
  rows: Iterable<Row>,
  limit: number,
  item: (row: Row) => T,
  position: (item: T, row: Row) => Next,
  bytesOf: (item: T, row: Row) => number = () => 0,
): RowPage<T, Next> {
  const items: T[] = [];
  let size = 0;
  let last: Row = {};
  for (const row of rows) {
    const newest = items.at(-1);
    if (newest !== undefined && (items.length === limit || size >= PAGE_BYTES)) return { items, next: position(newest, last) };
    const read = item(row);
    items.push(read);
    size += bytesOf(read, row);
    last = row;
  }
  return { items, next: undefined };
}

/**
 * Every key that a statement lists in its order, a page at a time: what is stored between two pages is listed, or not.
 * @param page the keys after this one, at most `limit`
 */
export function* keysInPages(page: (after: string) => readonly string[], limit: number): Generator<string, void, void> {
  for (let after = ""; ; ) {
    const keys = page(after);
    yield* keys;
    if (keys.length < limit) return;
    after = keys.at(-1) ?? after;
  }
}

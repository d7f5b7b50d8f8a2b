import type { SQLOutputValue } from "node:sqlite";

/** A row of an answer, by column. The readers below throw a TypeError where a column holds something else than it was written with. */
export type Row = Record<string, SQLOutputValue>;

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

/** Of a statement that reads integers as numbers, or as bigints. */
export function integer(row: Row, column: string): number {
  const value = row[column];
  return typeof value === "number" ? value : Number(bigint(row, column));
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} holds no bytes`);
  return value;
}

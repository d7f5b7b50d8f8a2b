import { NebulaError } from "../../../errors/nebula-error.ts";

/** A row as the driver reads it: bigint columns as bigint, blobs as Buffer, absent values as null. */
export type Row = Readonly<Record<string, unknown>>;

export function text(row: Row, column: string): string {
  const value = row[column];
  return typeof value === "string" ? value : refuse(column, value);
}

/** A bigint or counter column. */
export function bigint(row: Row, column: string): bigint {
  const value = row[column];
  return typeof value === "bigint" ? value : refuse(column, value);
}

/** An int column, or a bigint column whose values are below 2^53. */
export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === "number") return value;
  return typeof value === "bigint" ? Number(value) : refuse(column, value);
}

export function bool(row: Row, column: string): boolean {
  const value = row[column];
  return typeof value === "boolean" ? value : refuse(column, value);
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  return value instanceof Uint8Array ? value : refuse(column, value);
}

/** Whether the row holds nothing in this column. */
export function isNull(row: Row, column: string): boolean {
  return row[column] === null || row[column] === undefined;
}

function refuse(column: string, value: unknown): never {
  throw new NebulaError("failed_precondition", `the store holds an unexpected ${column}, ${typeof value}: it is of another version, or damaged`);
}

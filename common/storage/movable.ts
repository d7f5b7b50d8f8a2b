import { NebulaError } from "../errors/nebula-error.ts";

/** Offline operations by which `nebula migrate --from --to` copies a store, record by record, while no other process has it. */
export interface Movable<R extends Readonly<{ kind: string }>> {
  /**
   * Every record of this kind as it is, tombstones and the kept history included; in no promised order, and one record in memory at a time. Expired
   * records may be among them.
   */
  everything(kind: R["kind"], signal?: AbortSignal): AsyncIterable<R>;
  /** The record here that has the key of this one; undefined if absent. */
  counterpart(record: R, signal?: AbortSignal): Promise<R | undefined>;
  /**
   * Puts a record of another store here: its revisions, times and history stay what they are. A call that was cut anywhere may be repeated as it is. Where the
   * same record is here already nothing changes; rejects with `failed_precondition` where another one has its key or its token. Rejects with `unavailable` where
   * the outcome is not known.
   */
  adopt(record: R, signal?: AbortSignal): Promise<void>;
}

/**
 * For `adopt`: what was found under the key of a record is that record.
 * @param name of the record, in the error
 * @throws NebulaError failed_precondition
 */
export function assertSame(found: unknown, record: unknown, name: string): void {
  if (recordText(found) === recordText(record)) return;
  throw new NebulaError("failed_precondition", `${name} is here already, with another content`);
}

/** For `adopt`: nobody knows whether a record is stored now. */
export function unknownOutcome(name: string): NebulaError {
  return new NebulaError("unavailable", `the store did not say whether ${name} is stored: run the command again`);
}

/** Returns a text that two records share if, and only if, they are the same: bytes count by what they hold, fields that are undefined not at all. */
export function recordText(value: unknown): string {
  return JSON.stringify(plain(value));
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return { bigint: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, field]) => [name, plain(field)]));
}

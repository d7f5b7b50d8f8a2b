import { NebulaError } from "../errors/nebula-error.ts";

// The id of an audit entry, 26 hexadecimal digits: 12 of the millisecond at which it was made, 14 of a number that tells entries of one millisecond apart.
// Ids order the log, and an entry keeps its id in any store.

const AT_DIGITS = 12;
const NUMBER_DIGITS = 14;

/** The position of an entry in the log: milliseconds since 1970, and a number below 2^56. */
export type AuditKey = Readonly<{ at: bigint; number: bigint }>;

export function auditId({ at, number }: Readonly<{ at: number | bigint; number: bigint }>): string {
  return at.toString(16).padStart(AT_DIGITS, "0") + number.toString(16).padStart(NUMBER_DIGITS, "0");
}

/** Throws `internal` for a text that is not an id. */
export function auditKey(id: string): AuditKey {
  if (!/^[0-9a-f]{26}$/.test(id)) throw new NebulaError("internal", `"${id}" is not the id of an audit entry`);
  return { at: BigInt(`0x${id.slice(0, AT_DIGITS)}`), number: BigInt(`0x${id.slice(AT_DIGITS)}`) };
}

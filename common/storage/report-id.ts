import { hash } from "node:crypto";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Report } from "../../gen/nebula/v1/report_pb.ts";

// The id of a report, 24 hexadecimal digits (v2's `_id`): 4 bytes of the seconds and 2 bytes of the milliseconds at which it was received, then 6 bytes
// of SHA-256 over device, boot and seq. The id is made of the record alone, so a record that is read twice has one id. Ids order the history.

const SECONDS_DIGITS = 8;
const MS_DIGITS = 4;
const HASH_DIGITS = 12;
/** The last millisecond that an id can hold: seconds have 32 bits. */
const LATEST_MS = 2 ** 32 * 1000 - 1;

/** Returns the id of a report by its `received_at`, device, boot and seq. */
export function reportId({ receivedAt, deviceId, boot, seq }: Pick<Report, "receivedAt" | "deviceId" | "boot" | "seq">): string {
  const identity = JSON.stringify([deviceId, boot, seq.toString()]); // JSON: no two of them run together
  return timeDigits(receivedMs(receivedAt)) + hash("sha256", identity, "hex").slice(0, HASH_DIGITS);
}

/** Returns the smallest id of a report received at this time or later, milliseconds since 1970. */
export function firstReportIdAt(ms: number): string {
  return timeDigits(ms) + "0".repeat(HASH_DIGITS);
}

/** Returns the largest id below `firstReportIdAt(ms)`, the position of a list that has read everything before that time. `ms` is above 0. */
export function lastReportIdBefore(ms: number): string {
  return timeDigits(ms - 1) + "f".repeat(HASH_DIGITS);
}

/** Returns the time in an id, milliseconds since 1970. */
export function reportIdMs(id: string): number {
  const seconds = Number.parseInt(id.slice(0, SECONDS_DIGITS), 16);
  // An id that a client made up may have more milliseconds than a second has.
  return seconds * 1000 + Math.min(Number.parseInt(id.slice(SECONDS_DIGITS, SECONDS_DIGITS + MS_DIGITS), 16), 999);
}

/** Whether a text is the id of a report, in lower case. */
export function isReportId(text: string): boolean {
  return /^[0-9a-f]{24}$/.test(text);
}

/** Returns when a shard received a report, milliseconds since 1970; 0 for a report without that time. */
export function receivedMs(receivedAt: Timestamp | undefined): number {
  return receivedAt === undefined ? 0 : timestampMs(receivedAt);
}

/** Times outside 1970 to 2106 count as the first or the last one that an id can hold. */
function timeDigits(ms: number): string {
  const whole = Math.min(Math.max(Math.floor(ms), 0), LATEST_MS);
  const seconds = Math.floor(whole / 1000);
  return seconds.toString(16).padStart(SECONDS_DIGITS, "0") + (whole % 1000).toString(16).padStart(MS_DIGITS, "0");
}

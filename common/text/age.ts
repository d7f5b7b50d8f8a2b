import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Formats a duration, rounded down: `12 s`, `3 min`, `5 h`, `2 d`. A negative one is `0 s`. */
export function formatAge(ms: number): string {
  const age = Math.max(0, ms);
  if (age < MINUTE_MS) return `${Math.floor(age / SECOND_MS)} s`;
  if (age < HOUR_MS) return `${Math.floor(age / MINUTE_MS)} min`;
  if (age < 2 * DAY_MS) return `${Math.floor(age / HOUR_MS)} h`;
  return `${Math.floor(age / DAY_MS)} d`;
}

/** The age of a time; `never` if it is undefined. */
export function ageOf(time: Timestamp | undefined, now: number): string {
  return time === undefined ? "never" : formatAge(now - timestampMs(time));
}

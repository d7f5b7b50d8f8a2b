import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { parseDuration } from "../../../common/settings/parse-duration.ts";

/** From the first time on, and before the second; milliseconds since 1970. */
export type ReceivedRange = Readonly<{ fromMs: number | undefined; untilMs: number | undefined }>;

export type RangeFlags = Readonly<{
  since: string | undefined;
  until: string | undefined;
  /** The original's filter, seconds since 1970. */
  creationTime: number | undefined;
  creationFilter: string | undefined;
}>;

/** How the original's time filter may compare. Its `ne` is no range. */
export const CREATION_FILTERS = ["gt", "gte", "lt", "lte", "eq"] as const;

/** The times that a list of reports is asked for. Times of reports are whole milliseconds; the original's are whole seconds. */
export function receivedRange({ since, until, creationTime, creationFilter }: RangeFlags, now: number): ReceivedRange {
  if (creationTime === undefined) return timeRange({ since, until }, now);
  if (since !== undefined || until !== undefined) {
    throw new NebulaError("invalid_argument", "--report_creation_time and --since, --until both filter by time: give one kind");
  }
  const start = creationTime * 1000;
  const end = start + 1000;
  const filter = creationFilter ?? "gt";
  return {
    fromMs: filter === "gt" ? end : filter === "gte" || filter === "eq" ? start : undefined,
    untilMs: filter === "lt" ? start : filter === "lte" || filter === "eq" ? end : undefined,
  };
}

/** The times that --since and --until say. */
export function timeRange({ since, until }: Pick<RangeFlags, "since" | "until">, now: number): ReceivedRange {
  return {
    fromMs: since === undefined ? undefined : timeOf(since, "--since", now),
    untilMs: until === undefined ? undefined : timeOf(until, "--until", now),
  };
}

/** A duration back from now, or a time. */
function timeOf(text: string, label: string, now: number): number {
  const back = parseDuration(text);
  if (back.kind === "value") return now - back.value;
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(time)) return time;
  throw new NebulaError("invalid_argument", `${label} is a duration such as 30m or 2h, or a time such as 2026-01-31T12:00:00Z, not "${text}"`);
}

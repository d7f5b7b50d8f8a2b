import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { TIME_FORMS, timeBefore } from "../../../../common/text/time-before.ts";
import type { TextFlag } from "../../command/flags.ts";

export const SINCE: TextFlag = {
  kind: "text",
  name: "since",
  placeholder: "2h|TIME",
  help: "Only from this time on: a duration before now, or an ISO time.",
};
export const UNTIL: TextFlag = {
  kind: "text",
  name: "until",
  placeholder: "1h|TIME",
  help: "Only before this time: a duration before now, or an ISO time.",
};

/** From `fromMs` on and before `untilMs`; milliseconds since 1970. */
export type ReceivedRange = Readonly<{ fromMs: number | undefined; untilMs: number | undefined }>;

export type RangeFlags = Readonly<{
  since: string | undefined;
  until: string | undefined;
  /** The original's filter, seconds since 1970. */
  creationTime: number | undefined;
  creationFilter: string | undefined;
}>;

/** The comparisons of the original's time filter, without `ne`, which is not a range. */
export const CREATION_FILTERS = ["gt", "gte", "lt", "lte", "eq"] as const;

/**
 * The time range of a list of reports. Times of reports are whole milliseconds; those of the original are whole
 * seconds.
 */
export function receivedRange({ since, until, creationTime, creationFilter }: RangeFlags, now: number): ReceivedRange {
  if (creationTime === undefined) return timeRange({ since, until }, now);
  if (since !== undefined || until !== undefined) {
    throw new NebulaError("invalid_argument", "--report_creation_time and --since or --until both filter by time; use one of them");
  }
  const start = creationTime * 1000;
  const end = start + 1000;
  const filter = creationFilter ?? "gt";
  return {
    fromMs: filter === "gt" ? end : filter === "gte" || filter === "eq" ? start : undefined,
    untilMs: filter === "lt" ? start : filter === "lte" || filter === "eq" ? end : undefined,
  };
}

/** The time range of --since and --until. */
export function timeRange({ since, until }: Pick<RangeFlags, "since" | "until">, now: number): ReceivedRange {
  return {
    fromMs: since === undefined ? undefined : timeOf(since, "--since", now),
    untilMs: until === undefined ? undefined : timeOf(until, "--until", now),
  };
}

/** A duration before now, or a time. Returns milliseconds since 1970. */
function timeOf(text: string, label: string, now: number): number {
  const time = timeBefore(text, now);
  if (time !== undefined) return time;
  throw new NebulaError("invalid_argument", `invalid ${label} "${text}": ${TIME_FORMS}`);
}

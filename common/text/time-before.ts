/** Durations and times as people type them. */

/** Milliseconds of the units of a duration, from the shortest on. */
export const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `10s`, `5m`, `12h`, `1h30m`; a bare 0 is 0. Undefined if it is not a duration; not a safe integer if it is too long. */
export function durationMs(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/gy)];
  return Math.round(parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNIT_MS[unit ?? ""] ?? 0), 0));
}

/** How a time of the past is given. */
export const TIME_FORMS = "use a duration such as 30m or 2h, or a time such as 2026-01-31T12:00:00Z";

/** A duration before now, or a time: milliseconds since 1970. Undefined if it is neither. */
export function timeBefore(text: string, now: number): number | undefined {
  const back = durationMs(text);
  if (back !== undefined && Number.isSafeInteger(back)) return now - back;
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isFinite(time) ? time : undefined;
}

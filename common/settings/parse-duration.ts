import { type Parsed, type Parser, value, wrong } from "./parsed.ts";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses `10s`, `5m`, `12h`, `1h30m`: milliseconds. A bare 0 is 0. */
export function parseDuration(text: string): Parsed<number> {
  if (text === "0") return value(0);
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return wrong("is no duration: give a number with a unit, as 10s, 5m or 12h");
  const ms = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/gy)].reduce(
    (sum, [, number, unit]) => sum + Number(number) * (UNIT_MS[unit ?? ""] ?? 0),
    0,
  );
  return Number.isSafeInteger(Math.round(ms)) ? value(Math.round(ms)) : wrong("is too long a duration");
}

/** A duration within bounds, which are durations too: `10s`, `30m`. */
export function durationBetween(least: string, most: string): Parser<number> {
  const [leastMs, mostMs] = [knownDuration(least), knownDuration(most)];
  return (text) => {
    const parsed = parseDuration(text);
    if (parsed.kind === "wrong" || (parsed.value >= leastMs && parsed.value <= mostMs)) return parsed;
    return wrong(`is ${parsed.value < leastMs ? "too short" : "too long"}: give ${least} to ${most}`);
  };
}

/** Parses a duration of the source code. */
export function knownDuration(text: string): number {
  const parsed = parseDuration(text);
  if (parsed.kind === "wrong") throw new TypeError(`${text} ${parsed.problem}`);
  return parsed.value;
}

/** Milliseconds as a person writes them: 10s, 5m, 12h, 1h30m. */
export function formatDuration(ms: number): string {
  let left = ms;
  const parts = Object.entries(UNIT_MS)
    .filter(([unit]) => unit !== "d")
    .toReversed()
    .flatMap(([unit, unitMs]) => {
      const count = Math.floor(left / unitMs);
      left -= count * unitMs;
      return count > 0 ? [`${count}${unit}`] : [];
    });
  return parts.length === 0 ? "0s" : parts.join("");
}

import { isIPv6 } from "node:net";
import { durationMs, UNIT_MS } from "../text/time-before.ts";
import { deviceIdViolations, isName } from "../validation/names.ts";
import type { ListenAddress } from "./settings.ts";

/** The result of parsing the text of a setting. `problem` continues the value: `is not a duration; use ...`. */
export type Parsed<T> = Readonly<{ kind: "value"; value: T } | { kind: "wrong"; problem: string }>;

export type Parser<T> = (text: string) => Parsed<T>;

export function value<T>(parsed: T): Parsed<T> {
  return { kind: "value", value: parsed };
}

export function wrong(problem: string): Parsed<never> {
  return { kind: "wrong", problem };
}

/** The same parser, for a setting that may be absent. */
export function orUndefined<T>(parse: Parser<T>): Parser<T | undefined> {
  return parse;
}

const YES = new Set(["true", "on", "yes", "1"]);
const NO = new Set(["false", "off", "no", "0"]);

/** Parses true, on, yes, 1, and false, off, no, 0; in any case. */
export function parseBool(text: string): Parsed<boolean> {
  const word = text.toLowerCase();
  return YES.has(word) ? value(true) : NO.has(word) ? value(false) : wrong("is not a boolean; use true or false (or on, off, yes, no)");
}

/** Any text that is not empty. */
export function parseText(text: string): Parsed<string> {
  return text === "" ? wrong("is empty") : value(text);
}

/** Text of at least this many characters. */
export function textOfAtLeast(length: number): Parser<string> {
  return (text) => (text.length >= length ? value(text) : wrong(`is too short; use at least ${length} characters`));
}

/** Text of at least this many bytes in UTF-8. */
export function textOfAtLeastBytes(length: number): Parser<string> {
  return (text) => (Buffer.byteLength(text) >= length ? value(text) : wrong(`is too short; use at least ${length} bytes`));
}

/** A whole number within bounds, both included. */
export function wholeNumber(least: number, most: number): Parser<number> {
  return (text) => {
    const number = Number(text);
    const right = /^\d+$/.test(text) && number >= least && number <= most;
    return right ? value(number) : wrong(`is not a whole number; use ${least} to ${most}`);
  };
}

/** One of some words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): Parser<Word> {
  return (text) => {
    const word = words.find((known) => known === text);
    return word === undefined ? wrong(`is not a known word; use ${words.join(", ")}`) : value(word);
  };
}

/** A name as the API takes it. */
export function parseName(text: string): Parsed<string> {
  return isName(text) ? value(text) : wrong("is not a valid name; use a letter or digit, then up to 62 of letters, digits, '_', '.', '-'");
}

/** host:port for others to dial. */
export function parseHostAndPort(text: string): Parsed<string> {
  const [, port] = /^(?:\[[0-9a-fA-F:.]+\]|[^:/?#@\s[\]]+):(\d{1,5})$/.exec(text) ?? [];
  const right = port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
  return right ? value(text) : wrong("is not host:port; use for example nebula-1.example.com:50051");
}

/** Ids of clusters, separated by commas. */
export function clusterIds(text: string): Parsed<readonly string[]> {
  const ids = text.split(",").map((id) => id.trim());
  const right = ids.every((id) => /^[\w.-]{1,64}$/.test(id));
  return right
    ? value(ids)
    : wrong("is not a list of cluster ids; use ids as in the report, separated by commas, such as 5f0c1d7e9a2b4c6d8e0f1a3b5c7d9e2f");
}

/** A shard's name: a name as the API takes it, or host:port. */
export function parseShardName(text: string): Parsed<string> {
  const right = /^[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,127}$/.test(text);
  return right ? value(text) : wrong("is not a valid name of a shard; use a letter or digit, then up to 127 of letters, digits, '_', '.', ':', '-'");
}

/** A device_id as the API takes it. */
export function parseDeviceId(text: string): Parsed<string> {
  const right = deviceIdViolations(text, "").length === 0;
  return right ? value(text) : wrong("is not a valid device id; use a letter or digit, then up to 127 of letters, digits, '_', '.', '-'");
}

/** Parses `10s`, `5m`, `12h`, `1h30m`: milliseconds. A bare 0 is 0. */
export function parseDuration(text: string): Parsed<number> {
  const ms = durationMs(text);
  if (ms === undefined) return wrong("is not a duration; use a number with a unit, such as 10s, 5m or 12h");
  return Number.isSafeInteger(ms) ? value(ms) : wrong("is too long for a duration");
}

/** A duration within bounds, which are durations too: `10s`, `30m`. */
export function durationBetween(least: string, most: string): Parser<number> {
  const [leastMs, mostMs] = [knownDuration(least), knownDuration(most)];
  return (text) => {
    const parsed = parseDuration(text);
    if (parsed.kind === "wrong" || (parsed.value >= leastMs && parsed.value <= mostMs)) return parsed;
    return wrong(`is ${parsed.value < leastMs ? "too short" : "too long"}; use ${least} to ${most}`);
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

/** Parses `127.0.0.1:8080` or `[::1]:8080`. Port 0 lets the system choose. */
export function parseListenAddress(text: string): Parsed<ListenAddress> {
  const hint = "use host:port, such as 127.0.0.1:8080, or 0.0.0.0:8080 for every interface";
  const [, bracketed, bare, digits] = /^(?:\[([^\]]+)\]|([^:\s/]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? bare;
  if (host === undefined || digits === undefined) return wrong(`is not an address to listen on; ${hint}`);
  if (bracketed !== undefined && !isIPv6(bracketed)) return wrong(`has no IPv6 address within [ ]; ${hint}`);
  const port = Number(digits);
  return port <= 65_535 ? value({ host, port }) : wrong("has a port above 65535");
}

/** As parseListenAddress; `off` is undefined. */
export function parseListenAddressOrOff(text: string): Parsed<ListenAddress | undefined> {
  return text === "off" ? value(undefined) : parseListenAddress(text);
}

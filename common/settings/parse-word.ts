import { isName } from "../validation/name.ts";
import { deviceIdViolations } from "../validation/report.ts";
import { type Parsed, type Parser, value, wrong } from "./parsed.ts";

const YES = new Set(["true", "on", "yes", "1"]);
const NO = new Set(["false", "off", "no", "0"]);

/** Parses true, on, yes, 1, and false, off, no, 0; in any case. */
export function parseBool(text: string): Parsed<boolean> {
  const word = text.toLowerCase();
  return YES.has(word) ? value(true) : NO.has(word) ? value(false) : wrong("is neither true nor false (on, off, yes, no do, too)");
}

/** Any text but none. */
export function parseText(text: string): Parsed<string> {
  return text === "" ? wrong("is empty") : value(text);
}

/** Text of at least this many characters. */
export function textOfAtLeast(length: number): Parser<string> {
  return (text) => (text.length >= length ? value(text) : wrong(`is too short: give at least ${length} characters`));
}

/** Text of at least this many bytes in UTF-8. */
export function textOfAtLeastBytes(length: number): Parser<string> {
  return (text) => (Buffer.byteLength(text) >= length ? value(text) : wrong(`is too short: give at least ${length} bytes`));
}

/** A whole number within bounds, both included. */
export function wholeNumber(least: number, most: number): Parser<number> {
  return (text) => {
    const number = Number(text);
    const right = /^\d+$/.test(text) && number >= least && number <= most;
    return right ? value(number) : wrong(`is no whole number within ${least} to ${most}`);
  };
}

/** One of some words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): Parser<Word> {
  return (text) => {
    const word = words.find((known) => known === text);
    return word === undefined ? wrong(`is none of ${words.join(", ")}`) : value(word);
  };
}

/** A name as the API takes it. */
export function parseName(text: string): Parsed<string> {
  return isName(text) ? value(text) : wrong("is no name: give a letter or digit, then up to 62 of letters, digits, '_', '.', '-'");
}

/** host:port for others to dial. */
export function parseHostAndPort(text: string): Parsed<string> {
  const [, port] = /^(?:\[[0-9a-fA-F:.]+\]|[^:/?#@\s[\]]+):(\d{1,5})$/.exec(text) ?? [];
  const right = port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
  return right ? value(text) : wrong("is no host:port, as nebula-1.example.com:50051");
}

/** Ids of clusters, separated by commas. */
export function clusterIds(text: string): Parsed<readonly string[]> {
  const ids = text.split(",").map((id) => id.trim());
  const right = ids.every((id) => /^[\w.-]{1,64}$/.test(id));
  return right
    ? value(ids)
    : wrong("is not a list of cluster ids: give them as in the report, separated by commas; use 5f0c1d7e9a2b4c6d8e0f1a3b5c7d9e2f");
}

/** A shard's name: a name as the API takes it, or host:port. */
export function parseShardName(text: string): Parsed<string> {
  const right = /^[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,127}$/.test(text);
  return right ? value(text) : wrong("is not a valid name of a shard: use a letter or digit, then up to 127 of letters, digits, '_', '.', ':', '-'");
}

/** A device_id as the API takes it. */
export function parseDeviceId(text: string): Parsed<string> {
  const right = deviceIdViolations(text, "").length === 0;
  return right ? value(text) : wrong("is no device id: give a letter or digit, then up to 127 of letters, digits, '_', '.', '-'");
}

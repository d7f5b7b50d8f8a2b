import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { parseDuration } from "../../../common/settings/parse-duration.ts";

/** `a,b` as a list; nothing, and `[]`, is the empty one, as in the original. A JSON list is taken as it is, for items with commas. */
export function parseList(text: string, label: string): string[] {
  const trimmed = text.trim();
  if (trimmed.startsWith("[") && trimmed.endsWith("]")) return parseJsonList(trimmed, label); // an IPv6 address has brackets, too
  return trimmed === "" ? [] : trimmed.split(",").map((item) => item.trim());
}

/** The lists of a flag that was given several times, as one. */
export function listOf(texts: readonly string[], label: string): string[] {
  return texts.flatMap((text) => parseList(text, label));
}

/** `k:v,k2:v2` as a map. A value may hold `:`, no `,`: single pairs can hold anything. */
export function parsePairs(text: string, label: string): Record<string, string> {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "{}") return {};
  return Object.fromEntries(trimmed.split(",").map((pair) => splitPair(pair, ":", label)));
}

/** One `k=v`; the value is all after the first `=`. */
export function parsePair(text: string, label: string): [key: string, value: string] {
  return splitPair(text, "=", label);
}

/** A command line as its arguments: a JSON list as it is, else words, with quotes and `\` as in a shell and nothing else of a shell's. */
export function parseWords(text: string, label: string): string[] {
  if (text.trim().startsWith("[")) return parseJsonList(text.trim(), label);
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let index = 0; index < text.length; index++) {
    const character = text[index] ?? "";
    if (character === "\\" && quote !== "'" && index + 1 < text.length) {
      index++;
      word = (word ?? "") + text[index];
    } else if (quote !== undefined) {
      if (character === quote) quote = undefined;
      else word = (word ?? "") + character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote !== undefined) throw new NebulaError("invalid_argument", `${label} has a ${quote} that is never closed: ${text}`);
  return word === undefined ? words : [...words, word];
}

/** `500ms`, `10s`, `1m30s` in milliseconds. */
export function parseDurationMs(text: string, label: string): number {
  const parsed = parseDuration(text.trim());
  if (parsed.kind === "wrong") throw new NebulaError("invalid_argument", `${label} "${text}" ${parsed.problem}`);
  return parsed.value;
}

function splitPair(pair: string, separator: string, label: string): [string, string] {
  const at = pair.indexOf(separator);
  // The value is not shown: it may be a secret.
  if (at < 1) throw new NebulaError("invalid_argument", `${label} wants key${separator}value, and "${pair.slice(0, at === -1 ? 20 : 0)}" is none`);
  return [pair.slice(0, at).trim(), pair.slice(at + 1)];
}

function parseJsonList(text: string, label: string): string[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  throw new NebulaError("invalid_argument", `${label} starts like a JSON list and is no list of texts: ${text}`);
}

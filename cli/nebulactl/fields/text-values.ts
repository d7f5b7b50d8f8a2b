import { create } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { parseDuration } from "../../../common/settings/parsers.ts";
import { quote } from "../../../common/text/wording.ts";
import { containersPerFromV2 } from "../../../common/v2/containers-per.ts";
import { startingPortsFromV2 } from "../../../common/v2/starting-ports.ts";
import type { ContainersPer, StartingPort } from "../../../gen/nebula/v1/app_pb.ts";
import { type Ulimit, UlimitSchema } from "../../../gen/nebula/v1/container_pb.ts";

/**
 * Parses `a,b` as a list; an empty text and `[]` are the empty list, as in the original. A JSON list allows items with
 * commas.
 */
export function parseList(text: string, label: string): string[] {
  const trimmed = text.trim();
  if (trimmed.startsWith("[") && trimmed.endsWith("]")) return parseJsonList(trimmed, label); // an IPv6 address begins with a bracket too
  return trimmed === "" ? [] : trimmed.split(",").map((item) => item.trim());
}

/** Joins the lists of a repeated flag. */
export function listOf(texts: readonly string[], label: string): string[] {
  return texts.flatMap((text) => parseList(text, label));
}

/** Parses `k:v,k2:v2` as a map. A value may contain `:` but no `,`. */
export function parsePairs(text: string, label: string): Record<string, string> {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "{}") return {};
  return Object.fromEntries(trimmed.split(",").map((pair) => splitPair(pair, ":", label)));
}

/** Parses one `k=v`; the value is everything after the first `=`. */
export function parsePair(text: string, label: string): [key: string, value: string] {
  return splitPair(text, "=", label);
}

/**
 * Parses a command line into arguments: a JSON list, or words with quotes and `\` as in a shell, without its other
 * syntax.
 */
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
  if (quote !== undefined) throw new NebulaError("invalid_argument", `${label} has an unclosed ${quote}: ${text}`);
  return word === undefined ? words : [...words, word];
}

/** Parses `500ms`, `10s` or `1m30s`. Returns milliseconds. */
export function parseDurationMs(text: string, label: string): number {
  const parsed = parseDuration(text.trim());
  if (parsed.kind === "wrong") throw new NebulaError("invalid_argument", `${label} "${text}" ${parsed.problem}`);
  return parsed.value;
}

/**
 * Parses `80`, `8080:80`, `53/udp` or `127.0.0.1:8080:80`: one port for host and container, or
 * [address:]host:container; tcp by default.
 */
export function parsePort(text: string, label: string): readonly StartingPort[] {
  const read = startingPortsFromV2([text]);
  if (read.kind === "ports") return read.ports;
  throw new NebulaError(
    "invalid_argument",
    `invalid port ${quote(text)} in ${label}; use 80, 8080:80 (host:container), 53/udp or 127.0.0.1:8080:80, from 1 to 65535`,
  );
}

/** Parses `server:1`, `cpu:0.5` or `memory:512`, also by the other names of v2. */
export function parseContainersPer(text: string, label: string): ContainersPer {
  const [kind = "", number = "", ...more] = text.split(":").map((part) => part.trim());
  const read = containersPerFromV2({ [kind]: number });
  if (read.kind === "containers_per" && more.length === 0) return read.containersPer;
  throw new NebulaError("invalid_argument", `invalid ${label} "${text}": use server:N, cpu:N (per core) or memory:N (one container per N MB)`);
}

/** Parses `nofile=1024:2048`, the soft and the hard limit; one number sets both; -1 means unlimited. */
export function parseUlimit(text: string, label: string): Ulimit {
  const [, name = "", soft = "", hard = soft] = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text.trim()) ?? [];
  if (name === "") throw new NebulaError("invalid_argument", `invalid ${label} "${text}": use name=soft or name=soft:hard, such as nofile=1024:2048`);
  for (const limit of [soft, hard]) {
    if (!Number.isSafeInteger(Number(limit)))
      throw new NebulaError("invalid_argument", `invalid ${label} "${text}": use limits up to ${Number.MAX_SAFE_INTEGER}, or -1 for none`);
  }
  return create(UlimitSchema, { name, soft: BigInt(soft), hard: BigInt(hard) });
}

function splitPair(pair: string, separator: string, label: string): [string, string] {
  const at = pair.indexOf(separator);
  // The error shows no value, since it may be a secret.
  if (at < 1) throw new NebulaError("invalid_argument", `invalid ${label} "${pair.slice(0, at === -1 ? 20 : 0)}": use key${separator}value`);
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
  throw new NebulaError("invalid_argument", `invalid ${label} ${quote(text)}: use a JSON list of strings, such as ["a", "b"]`);
}

import { parseDocument } from "yaml";
import { messageOf, type Violation } from "../errors/nebula-error.ts";
import { systemReason } from "../errors/system-reason.ts";
import { hasLostBytes, NOT_UTF8 } from "../text/utf8.ts";
import { type Command, type Environment, keyOf, type Setting, usedBy } from "./setting.ts";
import { carriesPassword, withoutPassword } from "./urls.ts";

export type Sources = Readonly<{
  command: Command;
  flags: ReadonlyMap<string, string>;
  env: Environment;
  /** The settings file: its values by key, and its path for the messages. */
  file: Readonly<{ path: string; values: ReadonlyMap<string, string> }>;
  readFile: (path: string) => string;
}>;

export type Read<T> = Readonly<{ value: T; given: boolean }>;

/** Where a value was found: the label names the place in messages. */
type Found = Readonly<{ kind: "text"; label: string; text: string } | { kind: "file"; label: string; path: string }>;

/** Reads one setting after the other, flag before variable before older name before file before default, and keeps what was wrong with them. */
export class SettingReader {
  readonly violations: Violation[] = [];
  /** How settings were given that were not given by their variable: NEBULA_DATA by `--data`. */
  readonly labels = new Map<string, string>();
  readonly #sources: Sources;
  readonly #env: Environment;

  constructor(sources: Sources) {
    this.#sources = sources;
    // An empty variable is an absent one: compose files pass on what is not set as empty.
    this.#env = Object.fromEntries(Object.entries(sources.env).filter(([, text]) => text !== undefined && text !== ""));
  }

  /** The value of a setting; its default where the command does not use it, or where what was given is wrong. */
  read<T>(setting: Setting<T>): Read<T> {
    const fallback = { value: setting.fallback, given: false };
    if (!usedBy(setting, this.#sources.command)) return fallback;
    const found = this.#find(setting);
    const text = found === undefined ? undefined : this.#textOf(found);
    if (found !== undefined && found.label !== setting.variable) this.labels.set(setting.variable, found.label);
    if (found === undefined || text === undefined) return fallback;
    if (setting.secret && hasLostBytes(text)) {
      this.violations.push({ field: found.label, description: NOT_UTF8 });
      return fallback;
    }
    const parsed = setting.parse(text);
    if (parsed.kind === "value") return { value: parsed.value, given: true };
    const shown = setting.secret || found.kind === "file" ? "the value" : `"${withoutPassword(text)}"`;
    this.violations.push({ field: found.label, description: `${shown} ${parsed.problem}` });
    return fallback;
  }

  #find(setting: Setting<unknown>): Found | undefined {
    const { flags, file } = this.#sources;
    const { variable, flag, secret, aliases } = setting;
    const onLine = flag === undefined ? undefined : flags.get(flag);
    if (onLine !== undefined) {
      const label = `--${flag}`;
      if (secret) return { kind: "file", label, path: onLine };
      if (carriesPassword(onLine)) {
        this.violations.push({
          field: label,
          description: `carries a password, which the process list shows: give it as ${variable}, or in the settings file`,
        });
        return undefined;
      }
      return { kind: "text", label, text: onLine };
    }
    const inVariable = this.#env[variable];
    if (inVariable !== undefined) return { kind: "text", label: variable, text: inVariable };
    const pathInVariable = secret ? this.#env[`${variable}_FILE`] : undefined;
    if (pathInVariable !== undefined) return { kind: "file", label: `${variable}_FILE`, path: pathInVariable };
    for (const alias of aliases) {
      const text = alias.read(this.#env);
      if (text !== undefined) return { kind: "text", label: alias.variables.filter((name) => this.#env[name] !== undefined).join(", "), text };
    }
    const key = keyOf(setting);
    const inFile = file.values.get(key);
    if (inFile !== undefined) return { kind: "text", label: `${file.path}: ${key}`, text: inFile };
    const pathInFile = secret ? file.values.get(`${key}_file`) : undefined;
    if (pathInFile !== undefined) return { kind: "file", label: `${file.path}: ${key}_file`, path: pathInFile };
    return undefined;
  }

  /** The text itself, or that of the file it names without its last line break. */
  #textOf(found: Found): string | undefined {
    if (found.kind === "text") return found.text;
    try {
      return this.#sources.readFile(found.path).replace(/\r?\n$/, "");
    } catch (error) {
      this.violations.push({ field: found.label, description: `the file ${found.path} can't be read: ${systemReason(error)}` });
      return undefined;
    }
  }
}

/** A flag that a command takes, without its dashes. A switch alone means true. */
export type FlagName = Readonly<{ name: string; switch: boolean }>;

export type GivenFlags = Readonly<{ flags: ReadonlyMap<string, string>; violations: readonly Violation[] }>;

/**
 * Reads `--flag value`, `--flag=value` and switches (`--flag`, `--flag off`). A flag that is given twice counts as it was given last.
 * @param isSwitchValue whether a word after a switch is its value
 * @param unknown what to say of a flag that is not known
 */
export function readFlags(
  args: readonly string[],
  known: readonly FlagName[],
  isSwitchValue: (word: string) => boolean,
  unknown: (name: string) => string,
): GivenFlags {
  const byName = new Map(known.map((flag) => [flag.name, flag]));
  const flags = new Map<string, string>();
  const violations: Violation[] = [];
  const left = [...args];
  for (let arg = left.shift(); arg !== undefined; arg = left.shift()) {
    const [, name, joined] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      violations.push({ field: arg, description: "is not a flag; use --name value" });
      continue;
    }
    const flag = byName.get(name);
    const next = left[0];
    if (flag === undefined) {
      violations.push({ field: `--${name}`, description: unknown(name) });
      if (joined === undefined && next !== undefined && !next.startsWith("--")) left.shift();
    } else if (joined !== undefined) {
      flags.set(name, joined);
    } else if (flag.switch) {
      flags.set(name, next !== undefined && isSwitchValue(next) ? (left.shift() ?? "") : "true");
    } else if (next === undefined || next.startsWith("--")) {
      violations.push({ field: `--${name}`, description: `needs a value: --${name} VALUE` });
    } else {
      flags.set(name, left.shift() ?? "");
    }
  }
  return { flags, violations };
}

export type SettingsFile = Readonly<{ values: ReadonlyMap<string, string>; violations: readonly Violation[] }>;

/**
 * Reads the YAML of a settings file: one mapping of keys to texts, numbers, booleans, or lists of them (joined by commas).
 * @param path for the messages
 * @param unknown what to say of a key that is not known; undefined: it is known
 */
export function readSettingsFile(path: string, text: string, unknown: (key: string) => string | undefined): SettingsFile {
  const values = new Map<string, string>();
  const violations: Violation[] = [];
  const root = parse(text);
  if (root.kind === "wrong") return { values, violations: [{ field: path, description: root.reason }] };
  for (const [key, content] of Object.entries(root.content)) {
    const description = unknown(key);
    if (description !== undefined) {
      violations.push({ field: `${path}: ${key}`, description });
      continue;
    }
    const scalar = Array.isArray(content) && content.length > 0 ? joined(content) : textOf(content);
    if (scalar === undefined)
      violations.push({ field: `${path}: ${key}`, description: "is neither a text, a number, true or false, nor a list of them" });
    else values.set(key, scalar);
  }
  return { values, violations };
}

type Root = { kind: "mapping"; content: Readonly<Record<string, unknown>> } | { kind: "wrong"; reason: string };

function parse(text: string): Root {
  try {
    const document = parseDocument(text);
    const [error] = document.errors;
    if (error !== undefined) return { kind: "wrong", reason: `is not valid YAML: ${error.message.split("\n")[0]}` };
    const content: unknown = document.toJS({ maxAliasCount: 0 });
    if (content === null || content === undefined) return { kind: "mapping", content: {} };
    if (typeof content !== "object" || Array.isArray(content))
      return { kind: "wrong", reason: "is not a mapping of keys to values; use for example cache_time: 10s" };
    return { kind: "mapping", content: Object.fromEntries(Object.entries(content)) };
  } catch (error) {
    return { kind: "wrong", reason: `is not valid YAML: ${messageOf(error)}` };
  }
}

function textOf(content: unknown): string | undefined {
  return typeof content === "string" || typeof content === "number" || typeof content === "boolean" ? String(content) : undefined;
}

function joined(items: readonly unknown[]): string | undefined {
  const texts = items.map(textOf);
  return texts.includes(undefined) ? undefined : texts.join(",");
}

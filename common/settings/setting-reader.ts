import type { Violation } from "../errors/nebula-error.ts";
import { systemReason } from "../errors/system-reason.ts";
import { hasLostBytes, NOT_UTF8 } from "../text/utf8.ts";
import { carriesPassword, withoutPassword } from "./parse-driver-url.ts";
import { type Command, type Environment, keyOf, type Setting, usedBy } from "./setting.ts";

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

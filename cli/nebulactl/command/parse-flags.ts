import { parseArgs } from "node:util";
import { nearestName } from "../../../common/text/wording.ts";
import {
  type Flag,
  type FlagValues,
  flagLabel,
  MOST_UINT32,
  type NumberFlag,
  normaliseName,
  type SwitchFlag,
  type TextFlag,
  type ToggleFlag,
} from "./flags.ts";

export type ParsedFlags = { kind: "parsed"; values: GivenFlags; positionals: string[] } | { kind: "wrong"; message: string };

/** A name on the command line with its flag; `turnsOn` is false for the second name of a toggle. */
export type Spelling = { name: string; flag: Flag; turnsOn: boolean };

/** Parses the arguments after a command. `-` and `_` in flags are the same; a value that starts with `-` must be joined by `=`.
 * @param command its name, for errors */
export function parseFlags(args: readonly string[], flags: readonly Flag[], command: string): ParsedFlags {
  const spellings = new Map(flags.flatMap(spellingsOf).map((spelling) => [spelling.name, spelling]));
  const options = Object.fromEntries([...spellings.values()].map(parseArgsOption));
  const { tokens } = parseArgs({ args: withDashes(args), options, strict: false, allowPositionals: true, tokens: true });

  const values = new GivenFlags();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const long = token.rawName.startsWith("--");
    const spelling = spellings.get(token.rawName.slice(long ? 2 : 1));
    if (spelling === undefined || spelling.name.length > 1 !== long) return { kind: "wrong", message: unknownFlag(token.rawName, flags, command) };
    const wrong = values.give(spelling.flag, spelling.turnsOn, token.rawName, token.value, token.inlineValue ?? false);
    if (wrong !== undefined) return { kind: "wrong", message: wrong };
  }
  return { kind: "parsed", values, positionals };
}

/** The given flags and their values. */
export class GivenFlags implements FlagValues {
  readonly #texts = new Map<Flag, string[]>();
  readonly #numbers = new Map<Flag, number>();
  readonly #switches = new Map<Flag, boolean>();

  text(flag: TextFlag): string | undefined {
    return this.#texts.get(flag)?.at(-1);
  }

  all(flag: TextFlag): readonly string[] {
    return this.#texts.get(flag) ?? [];
  }

  number(flag: NumberFlag): number | undefined {
    return this.#numbers.get(flag);
  }

  on(flag: SwitchFlag): boolean {
    return this.#switches.get(flag) ?? false;
  }

  toggle(flag: ToggleFlag): boolean | undefined {
    return this.#switches.get(flag);
  }

  has(flag: Flag): boolean {
    return this.#texts.has(flag) || this.#numbers.has(flag) || this.#switches.has(flag);
  }

  /**
   * Sets the value of a text or number flag, as typed after `label`. Returns an error message, undefined if the value
   * is valid.
   */
  giveValue(flag: TextFlag | NumberFlag, label: string, value: string): string | undefined {
    if (flag.kind === "number") {
      const wrong = wrongNumber(flag, label, value);
      if (wrong === undefined) this.#numbers.set(flag, Number(value));
      return wrong;
    }
    const choice = flag.choices?.find((one) => normaliseName(one) === normaliseName(value)); // "device-group" means "device_group" here too
    if (flag.choices !== undefined && choice === undefined) {
      const nearest = nearestName(value, flag.choices);
      return `invalid ${label} "${value}": use ${flag.choices.join(", ")}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
    }
    const given = choice ?? value;
    this.#texts.set(flag, flag.repeatable ? [...this.all(flag), given] : [given]);
    return undefined;
  }

  /** Sets one flag of the command line. Returns an error message, undefined if it is valid. */
  give(flag: Flag, turnsOn: boolean, label: string, value: string | undefined, inline: boolean): string | undefined {
    if (flag.kind === "switch" || flag.kind === "toggle") {
      if (value !== undefined) return `${label} takes no value${flag.kind === "toggle" ? `: write ${flagLabel(flag)}` : ""}`;
      this.#switches.set(flag, turnsOn);
      return undefined;
    }
    if (value === undefined) return `${label} needs a value: ${label} ${flag.placeholder}`;
    if (!inline && value.startsWith("-") && value !== "-") {
      return `${label} needs a value, and "${value}" looks like a flag: use ${label}=${value} if it is the value`;
    }
    return this.giveValue(flag, label, value);
  }
}

/** The spellings of a flag. A long name has at least two letters, so its length shows its kind. */
export function spellingsOf(flag: Flag): Spelling[] {
  const names = [flag.name, ...(flag.aliases ?? []), ...(flag.short === undefined ? [] : [flag.short])];
  const spellings = names.map((name) => ({ name, flag, turnsOn: true }));
  if (flag.kind !== "toggle") return spellings;
  const off = [flag.off, ...(flag.offAliases ?? []), ...(flag.offShort === undefined ? [] : [flag.offShort])];
  return [...spellings, ...off.map((name) => ({ name, flag, turnsOn: false }))];
}

/** Each short name is an option of its own, because parseArgs allows one letter per option and a toggle has two. */
function parseArgsOption({ name, flag }: Spelling): [string, { type: "string" | "boolean"; short?: string }] {
  const type = flag.kind === "text" || flag.kind === "number" ? "string" : "boolean";
  return name.length === 1 ? [`short:${name}`, { type, short: name }] : [name, { type }];
}

/** Replaces `_` by `-` in the names of flags; arguments after `--` stay. */
function withDashes(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  return args.map((arg, index) => {
    if (!arg.startsWith("--") || (end !== -1 && index >= end)) return arg;
    const [name = "", ...value] = arg.split("=");
    return [normaliseName(name), ...value].join("=");
  });
}

function unknownFlag(rawName: string, flags: readonly Flag[], command: string): string {
  const names = flags.flatMap(spellingsOf).flatMap(({ name }) => (name.length > 1 ? [name] : []));
  const nearest = rawName.startsWith("--") ? nearestName(rawName.slice(2), names) : undefined;
  return `unknown flag ${rawName} for "${command}"${nearest === undefined ? "" : `; did you mean --${nearest}?`}`;
}

function wrongNumber({ min, max: given, integer }: NumberFlag, label: string, value: string): string | undefined {
  const max = given ?? (integer === true ? MOST_UINT32 : undefined);
  const number = Number(value);
  const fits =
    /^[+-]?(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(value) && // Number() takes 0x10 and blanks, too
    Number.isFinite(number) &&
    (!integer || Number.isInteger(number)) &&
    number >= (min ?? -Infinity) &&
    number <= (max ?? Infinity);
  if (fits) return undefined;
  const bounds = [...(min === undefined ? [] : [`from ${min}`]), ...(max === undefined ? [] : [`up to ${max}`])].join(" ");
  const use = `${integer ? "a whole number" : "a number"}${bounds === "" ? "" : ` ${bounds}`}`;
  return `invalid ${label} "${value}": use ${use}`;
}

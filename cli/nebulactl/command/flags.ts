type FlagBase = Readonly<{
  /** Long name in kebab-case, without dashes. `_` in place of `-` is understood everywhere. */
  name: string;
  /** Other long names. */
  aliases?: readonly string[];
  /** One letter. */
  short?: string;
  /** One sentence for the help. */
  help: string;
}>;

/** `--image shop:1.5`. Given more than once the last one counts, unless it is repeatable: then all do. */
export type TextFlag = FlagBase & Readonly<{ kind: "text"; placeholder: string; repeatable?: boolean; choices?: readonly string[] }>;
/** What a 32-bit field of the API holds at most. */
export const MOST_UINT32 = 4_294_967_295;

/** `--limit 20`, within its bounds. A whole number without a greatest one of its own goes up to what a 32-bit field holds. */
export type NumberFlag = FlagBase & Readonly<{ kind: "number"; placeholder: string; min?: number; max?: number; integer?: boolean }>;
/** `--yes`: on where it is given. */
export type SwitchFlag = FlagBase & Readonly<{ kind: "switch" }>;
/** `--running/--stopped`: on, off or not said. */
export type ToggleFlag = FlagBase & Readonly<{ kind: "toggle"; off: string; offAliases?: readonly string[]; offShort?: string }>;

export type Flag = TextFlag | NumberFlag | SwitchFlag | ToggleFlag;

/** What was given for the flags of a command. Flags are asked for by the object that the command table holds. */
export interface FlagValues {
  /** The value of a text flag; of a repeatable one the last. */
  text(flag: TextFlag): string | undefined;
  /** Every value of a repeatable flag, in order. */
  all(flag: TextFlag): readonly string[];
  number(flag: NumberFlag): number | undefined;
  /** Whether a switch was given. */
  on(flag: SwitchFlag): boolean;
  /** Which of a toggle's names was given last; undefined: neither. */
  toggle(flag: ToggleFlag): boolean | undefined;
  /** Whether anything was given for a flag. */
  has(flag: Flag): boolean;
}

/** The flag as a user types it: `--image`. */
export function flagLabel(flag: Flag): string {
  return flag.kind === "toggle" ? `--${flag.name}/--${flag.off}` : `--${flag.name}`;
}

/** `-` and `_` are the same in nouns, verbs and flags. */
export function normaliseName(name: string): string {
  return name.replaceAll("_", "-");
}

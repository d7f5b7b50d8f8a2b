type FlagBase = Readonly<{
  /** Long name in kebab-case, without dashes. `_` is accepted in place of `-`. */
  name: string;
  /** Other long names. */
  aliases?: readonly string[];
  /** One letter. */
  short?: string;
  /** One sentence for the help. */
  help: string;
}>;

/**
 * The names that a shell completes the value of a flag from. `target`: of apps and cron_jobs; `entity`: of apps, cron_jobs and device_groups; `resource`: of the
 * kind that is typed before it, as for `get apps web`.
 */
export type Names = "app" | "cron_job" | "device_group" | "user" | "user_group" | "device" | "profile" | "target" | "entity" | "resource";

/** The values that a shell offers for a flag: these words, the names of one kind, or the files of the machine. */
export type Offers = Readonly<{ words: readonly string[] }> | Readonly<{ names: Names }> | Readonly<{ files: true }>;

/** `--image shop:1.5`. If it is given more than once, the last one counts; of a repeatable flag all do. A shell completes `choices`, else `offers`. */
export type TextFlag = FlagBase & Readonly<{ kind: "text"; placeholder: string; repeatable?: boolean; choices?: readonly string[]; offers?: Offers }>;
/** The largest value of a 32-bit field of the API. */
export const MOST_UINT32 = 4_294_967_295;

/** `--limit 20`, within its bounds. An integer without `max` may be at most MOST_UINT32. */
export type NumberFlag = FlagBase & Readonly<{ kind: "number"; placeholder: string; min?: number; max?: number; integer?: boolean }>;
/** `--yes`: on if it is given. */
export type SwitchFlag = FlagBase & Readonly<{ kind: "switch" }>;
/** `--running/--stopped`: on, off or not given. */
export type ToggleFlag = FlagBase & Readonly<{ kind: "toggle"; off: string; offAliases?: readonly string[]; offShort?: string }>;

export type Flag = TextFlag | NumberFlag | SwitchFlag | ToggleFlag;

/** The given flags of a command. A flag is looked up by its object in the command table. */
export interface FlagValues {
  /** The value of a text flag; the last one of a repeatable flag. */
  text(flag: TextFlag): string | undefined;
  /** Every value of a repeatable flag, in order. */
  all(flag: TextFlag): readonly string[];
  number(flag: NumberFlag): number | undefined;
  /** Whether a switch was given. */
  on(flag: SwitchFlag): boolean;
  /** Whether a toggle is on, by the name given last; undefined if neither was. */
  toggle(flag: ToggleFlag): boolean | undefined;
  /** Whether anything was given for a flag. */
  has(flag: Flag): boolean;
}

/** The flag as a user types it: `--image`. */
export function flagLabel(flag: Flag): string {
  return flag.kind === "toggle" ? `--${flag.name}/--${flag.off}` : `--${flag.name}`;
}

/** Normalises the name of a noun, verb or flag, in which `-` and `_` are the same. */
export function normaliseName(name: string): string {
  return name.replaceAll("_", "-");
}

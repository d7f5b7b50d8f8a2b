import { type Parser, parseBool } from "./parsers.ts";

/** The parts and tasks that `nebula` starts. `server` is manager, gateway and reporter in one process. */
export const COMMANDS = ["server", "manager", "gateway", "reporter", "worker", "migrate", "backup", "health"] as const;
export type Command = (typeof COMMANDS)[number];

/** A component that uses a setting; `server` uses the settings of its three components. */
export type Part = Exclude<Command, "server">;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Older names of a setting, or several variables that make it up together. */
export type Alias = Readonly<{
  variables: readonly string[];
  /** Returns the value in the setting's own notation; undefined: nothing. The variables that are absent or empty are undefined in `env`. */
  read: (env: Environment) => string | undefined;
  /** The differences from the setting's own notation; empty: nothing. */
  note: string;
}>;

/** One setting: how it is given, read, and explained. */
export type Setting<T> = Readonly<{
  variable: `NEBULA_${string}`;
  aliases: readonly Alias[];
  /** Without the dashes; undefined: it has none, since `ps` shows what is on a command line. */
  flag: string | undefined;
  /** Neither shown in messages nor in logs. Can be read from a file that `<variable>_FILE`, or the flag, names. */
  secret: boolean;
  /** Whether the flag alone means true. */
  switch: boolean;
  parse: Parser<T>;
  /** The value when nothing is given. */
  fallback: T;
  /** The default, in words for the reference. */
  defaultText: string;
  parts: readonly Part[];
  /** One or two sentences for the reference. */
  meaning: string;
}>;

/** The key in the settings file: the variable's name without NEBULA_, in lower case. */
export function keyOf(setting: Setting<unknown>): string {
  return setting.variable.slice("NEBULA_".length).toLowerCase();
}

/** Whether a command uses a setting. */
export function usedBy(setting: Setting<unknown>, command: Command): boolean {
  if (command !== "server") return setting.parts.includes(command);
  return setting.parts.some((part) => part === "manager" || part === "gateway" || part === "reporter");
}

/** The variable under another name. */
export function renamed(variable: string): Alias {
  return { variables: [variable], read: (env) => env[variable], note: "" };
}

/** The variable under another name, as a number of seconds. */
export function inSeconds(variable: string): Alias {
  return {
    variables: [variable],
    read: (env) => {
      const text = env[variable];
      return text !== undefined && /^\d+$/.test(text) ? `${text}s` : text;
    },
    note: "seconds",
  };
}

type Given<T> = Pick<Setting<T>, "variable" | "parse" | "defaultText" | "parts" | "meaning"> &
  Partial<Pick<Setting<T>, "flag" | "aliases" | "switch">> & { fallback: NoInfer<T> };

/** The flag is the variable's name as a flag, unless another is given. */
export function setting<T>(given: Given<T>): Setting<T> {
  const flag = given.variable.slice("NEBULA_".length).toLowerCase().replaceAll("_", "-");
  return { flag, aliases: [], switch: false, secret: false, ...given };
}

/** A setting that `ps` must not show: its flag, where it has one, names a file. */
export function secret<T>(given: Given<T>): Setting<T> {
  return { flag: undefined, aliases: [], switch: false, ...given, secret: true };
}

export function toggle(given: Omit<Given<boolean>, "parse">): Setting<boolean> {
  return setting({ ...given, parse: parseBool, switch: true });
}

/** Parts that a setting is of: every one, and those of a server. */
export const EVERY: readonly Part[] = ["manager", "gateway", "reporter", "worker", "migrate", "backup", "health"];
export const SERVER: readonly Part[] = ["manager", "gateway", "reporter"];

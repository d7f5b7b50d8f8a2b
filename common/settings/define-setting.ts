import { parseBool } from "./parse-word.ts";
import type { Part, Setting } from "./setting.ts";

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
export const EVERY: readonly Part[] = ["manager", "gateway", "reporter", "worker", "migrate", "backup"];
export const SERVER: readonly Part[] = ["manager", "gateway", "reporter"];

import { nearestName } from "../validation/nearest-name.ts";
import type { FlagName } from "./read-flags.ts";
import { COMMANDS, type Command, type Environment, keyOf, usedBy } from "./setting.ts";
import { ALL_SETTINGS, SETTINGS } from "./settings-table.ts";

/** What to say of a flag that a command does not have. */
export function unknownFlag(name: string, command: Command, known: readonly FlagName[]): string {
  const setting = ALL_SETTINGS.find(({ flag }) => flag === name);
  if (setting !== undefined) {
    const commands = COMMANDS.filter((other) => usedBy(setting, other));
    return `is a flag of nebula ${commands.join(", nebula ")}, not of nebula ${command}`;
  }
  const asVariable = ALL_SETTINGS.find((other) => other.flag === undefined && keyOf(other) === name.replaceAll("-", "_"));
  if (asVariable !== undefined) return `is no flag: give ${asVariable.variable}`;
  const nearest = nearestName(
    name,
    known.map((flag) => flag.name),
  );
  return `is no flag of nebula ${command}${nearest === undefined ? `: see nebula ${command} --help` : `: did you mean --${nearest}?`}`;
}

/** What to say of a key of the settings file; undefined: it is known. */
export function unknownKey(key: string): string | undefined {
  const keys = ALL_SETTINGS.filter((setting) => setting !== SETTINGS.config).flatMap((setting) =>
    setting.secret ? [keyOf(setting), `${keyOf(setting)}_file`] : [keyOf(setting)],
  );
  if (keys.includes(key)) return undefined;
  const nearest = nearestName(key, keys);
  return `is no setting${nearest === undefined ? "" : `: did you mean ${nearest}?`}`;
}

/** Variables that look like a misspelt one of ours. No more than a warning: a cluster manager makes variables of services' names. */
export function misspelledVariables(env: Environment): string[] {
  const known = new Set(
    ALL_SETTINGS.flatMap((setting) => [setting.variable, `${setting.variable}_FILE`, ...setting.aliases.flatMap(({ variables }) => variables)]),
  );
  const suffixes = ALL_SETTINGS.map(({ variable }) => variable.slice("NEBULA_".length));
  return Object.keys(env).flatMap((name) => {
    if (!name.startsWith("NEBULA_") || known.has(name)) return [];
    const nearest = nearestName(name.slice("NEBULA_".length), suffixes);
    return nearest === undefined ? [] : [`${name} is no setting: did you mean NEBULA_${nearest}?`];
  });
}

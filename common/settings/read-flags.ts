import type { Violation } from "../errors/nebula-error.ts";

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
      violations.push({ field: arg, description: "is no flag, and nothing else is expected here" });
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

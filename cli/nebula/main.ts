import { assertNever } from "../../common/errors/assert-never.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { parseBool } from "../../common/settings/parse-word.ts";
import { type FlagName, readFlags } from "../../common/settings/read-flags.ts";
import { resolveSettings } from "../../common/settings/resolve-settings.ts";
import { nearestName } from "../../common/validation/nearest-name.ts";
import { VERSION } from "../../common/version.ts";
import type { NebulaCommand, NebulaIo } from "./command.ts";
import { commandHelp, overview } from "./help.ts";

/** Runs `nebula` with these arguments; answers the exit code: 0, or 1 with the reason told in a line for each thing that is wrong. */
export async function runNebula(commands: readonly NebulaCommand[], [name, ...args]: readonly string[], io: NebulaIo): Promise<number> {
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    io.print(overview(commands));
    return name === undefined ? 1 : 0;
  }
  if (name === "--version" || name === "version") {
    io.print(`nebula ${VERSION}`);
    return 0;
  }
  const command = commands.find((known) => known.name === name);
  if (command === undefined) {
    const nearest = nearestName(
      name,
      commands.map((known) => known.name),
    );
    io.complain(`nebula: there is no command ${name}${nearest === undefined ? ": see nebula --help" : `: did you mean nebula ${nearest}?`}`);
    return 1;
  }
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    io.print(commandHelp(command));
    return 0;
  }
  try {
    return await runCommand(command, args, io);
  } catch (error) {
    if (!isNebulaError(error)) throw error;
    for (const line of error.message.split("\n")) io.complain(`nebula: ${line}`);
    return 1;
  }
}

async function runCommand(command: NebulaCommand, args: readonly string[], io: NebulaIo): Promise<number> {
  const { ownFlags } = command;
  switch (command.kind) {
    case "plain":
      return await command.run({ own: readOwnFlags(command.name, args, ownFlags), io });
    case "settings": {
      const { settings, own, warnings } = resolveSettings({ command: command.name, args, env: io.env, readFile: io.readFile, ownFlags });
      for (const warning of warnings) io.complain(`nebula: warning: ${warning}`);
      return await command.run({ settings, own, io });
    }
    default:
      return assertNever(command);
  }
}

function readOwnFlags(name: string, args: readonly string[], ownFlags: readonly FlagName[]): ReadonlyMap<string, string> {
  const isSwitchValue = (word: string) => parseBool(word).kind === "value";
  const { flags, violations } = readFlags(args, ownFlags, isSwitchValue, () => `is no flag of nebula ${name}: see nebula ${name} --help`);
  if (violations.length > 0)
    throw new NebulaError("invalid_argument", violations.map(({ field, description }) => `${field}: ${description}`).join("\n"), { violations });
  return flags;
}

import { assertNever } from "../../common/errors/assert-never.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { codeOf, systemReason } from "../../common/errors/system-reason.ts";
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
    for (const line of describeError(error, name)) io.complain(`nebula: ${line}`);
    if (isDebug(args, io) && error instanceof Error && error.stack !== undefined) io.complain(error.stack);
    return 1;
  }
}

/** What an error says to a person: what the parts threw on purpose is theirs to say; of anything else, one line, and where to find more. */
function describeError(error: unknown, command: string): string[] {
  if (isNebulaError(error)) return error.message.split("\n");
  const path = error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : undefined;
  if (codeOf(error) !== undefined && path !== undefined) return [`${path} can't be used: ${systemReason(error)}`];
  return [`unhandled error in nebula ${command}: ${messageOf(error).split("\n")[0]}; --log-level debug shows where it happened`];
}

/** Whether the stack of an error was asked for; settings that could not be resolved may be what is wrong. */
function isDebug(args: readonly string[], { env }: NebulaIo): boolean {
  return env.NEBULA_LOG_LEVEL === "debug" || args.join("=").includes("--log-level=debug");
}

async function runCommand(command: NebulaCommand, args: readonly string[], io: NebulaIo): Promise<number> {
  const { ownFlags } = command;
  switch (command.kind) {
    case "plain":
      return await command.run({ own: readOwnFlags(command.name, args, ownFlags), io });
    case "settings": {
      const { settings, own, asGiven, warnings } = resolveSettings({ command: command.name, args, env: io.env, readFile: io.readFile, ownFlags });
      for (const warning of warnings) io.complain(`nebula: warning: ${warning}`);
      try {
        return await command.run({ settings, own, io });
      } catch (error) {
        if (!isNebulaError(error)) throw error;
        throw new NebulaError(error.kind, asGiven(error.message), { violations: error.violations, cause: error });
      }
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

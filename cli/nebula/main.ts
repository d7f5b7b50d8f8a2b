import { assertNever } from "../../common/errors/assert-never.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { codeOf, systemReason } from "../../common/errors/system-reason.ts";
import { parseBool } from "../../common/settings/parsers.ts";
import { resolveSettings } from "../../common/settings/resolve-settings.ts";
import { type FlagName, readFlags } from "../../common/settings/sources.ts";
import { nearestName } from "../../common/text/wording.ts";
import { VERSION } from "../../common/version.ts";
import type { NebulaCommand, NebulaIo } from "./command/command.ts";
import { commandHelp, overview } from "./help.ts";

/** Runs `nebula` with these arguments. Returns the exit code: 0, or 1 after printing a line for each fault. */
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
    io.complain(`nebula: unknown command "${name}"; ${nearest === undefined ? "see nebula --help" : `did you mean nebula ${nearest}?`}`);
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

/**
 * The lines that describe an error to a user. An error that is not a NebulaError gets one line, which says where to
 * find more.
 */
function describeError(error: unknown, command: string): string[] {
  if (isNebulaError(error)) return error.message.split("\n");
  const path = error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : undefined;
  if (codeOf(error) !== undefined && path !== undefined) return [`${path} can't be used: ${systemReason(error)}`];
  return [`unhandled error in nebula ${command}: ${messageOf(error).split("\n")[0]}; --log-level debug shows where it happened`];
}

/** Whether the user asked for stacks. Reads flag and variable itself: the settings may be what failed to resolve. */
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
  const { flags, violations } = readFlags(args, ownFlags, isSwitchValue, () => `is not a flag of nebula ${name}; see nebula ${name} --help`);
  if (violations.length > 0)
    throw new NebulaError("invalid_argument", violations.map(({ field, description }) => `${field}: ${description}`).join("\n"), { violations });
  return flags;
}

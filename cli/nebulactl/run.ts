import { assertNever } from "../../common/errors/assert-never.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { printable } from "../../common/printable.ts";
import { withoutEnd } from "../../common/text/without-end.ts";
import { VERSION } from "../../common/version.ts";
import type { Command, CommandTable } from "./command/command.ts";
import type { CommandContext } from "./command/context.ts";
import { flagLabel } from "./command/flags.ts";
import { DEBUG } from "./command/global-flags.ts";
import { help, usage } from "./command/help.ts";
import { loadNamed } from "./command/load-commands.ts";
import { type CommandLine, howToGive, missingFlags, parseCommandLine } from "./command/parse-command-line.ts";
import type { GivenFlags } from "./command/parse-flags.ts";
import { Interrupted, type Io } from "./io.ts";
import { paintFor } from "./output/paint.ts";
import { printableIo } from "./output/printable-io.ts";

/** Anything that went wrong, usage included. 2 and 3 say how a waited-for apply ended. */
const EXIT_WRONG = 1;
/** Ctrl-C, as a shell has it. */
const EXIT_INTERRUPTED = 130;

/**
 * Runs one command line and resolves to the exit code. Whatever goes wrong is printed, never thrown.
 * @param args what follows the program's name
 */
export async function runNebulactl(commands: CommandTable, args: readonly string[], given: Io, signal: AbortSignal): Promise<number> {
  const io = printableIo(given);
  const table = await loadNamed(commands, args);
  const line = parseCommandLine(table, args);
  switch (line.kind) {
    case "help":
      io.out(`${help(table, line.topic, io.columns).join("\n")}\n`);
      return 0;
    case "version":
      io.out(`${table.program} ${VERSION}\n`);
      return 0;
    case "wrong":
      printError([`${line.message} (${usage(table, line.topic)})`], io);
      return EXIT_WRONG;
    case "run":
      return runCommand(line, io, signal);
    default:
      return assertNever(line);
  }
}

async function runCommand({ path, command, values, output }: CommandLine & { kind: "run" }, io: Io, signal: AbortSignal): Promise<number> {
  const { Session } = await import("./session.ts"); // help and the like call no server
  const session = new Session(values, io, signal);
  try {
    await askForMissing(path.join(" "), command, values, io, signal);
    const context: CommandContext = {
      values,
      output,
      paint: paintFor(io.outIsTerminal, io.env),
      io,
      signal,
      login: () => session.login(),
      explain: (error) => session.explain(error),
      client: (service) => session.client(service),
    };
    return await command.run(context);
  } catch (error) {
    printError(await session.explain(error), io);
    if (values.on(DEBUG)) io.err(`${printable(stackOf(error))}\n`);
    return error instanceof Interrupted || signal.reason instanceof Interrupted ? EXIT_INTERRUPTED : EXIT_WRONG;
  }
}

/** Asks for what a command needs and was not given; without a terminal the error names how to give it. */
async function askForMissing(name: string, command: Command, values: GivenFlags, io: Io, signal: AbortSignal): Promise<void> {
  const missing = missingFlags(command, values);
  if (missing.length > 0 && io.terminal === undefined) {
    throw new NebulaError("invalid_argument", `${name} needs ${missing.map((flag) => howToGive(command, flag)).join(", and ")}`);
  }
  for (const flag of missing) {
    const answer = (await io.terminal?.ask(`${withoutEnd(flag.help, ".:")}: `, signal))?.trim() ?? "";
    if (answer === "") throw new NebulaError("invalid_argument", `${name} needs ${howToGive(command, flag)}`);
    const wrong = values.giveValue(flag, flagLabel(flag), answer);
    if (wrong !== undefined) throw new NebulaError("invalid_argument", wrong);
  }
}

function printError([first = "", ...more]: readonly string[], io: Io): void {
  const paint = paintFor(io.errIsTerminal, io.env);
  io.err(`${paint.red("error:")} ${[first, ...more].map(printable).join("\n")}\n`);
}

function stackOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return error instanceof Error && error.cause !== undefined ? `${stack}\ncaused by: ${stackOf(error.cause)}` : stack;
}

import { assertNever } from "../../common/errors/assert-never.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { printable } from "../../common/printable.ts";
import { withoutEnd } from "../../common/text/without-end.ts";
import { VERSION } from "../../common/version.ts";
import { type Command, type CommandTable, NAMES_COMMAND } from "./command/command.ts";
import type { CommandContext } from "./command/context.ts";
import { flagLabel } from "./command/flags.ts";
import { DEBUG } from "./command/global-flags.ts";
import { help, usage } from "./command/help.ts";
import { loadNamed } from "./command/load-commands.ts";
import { type CommandLine, howToGive, missingFlags, parseCommandLine } from "./command/parse-command-line.ts";
import type { GivenFlags } from "./command/parse-flags.ts";
import { Interrupted, type Io, type Terminal } from "./io/io.ts";
import { paintFor, STYLE_CODE } from "./output/paint.ts";

/** Any failure, wrong usage included. */
const EXIT_WRONG = 1;
/** Ctrl-C, by the convention of shells. */
const EXIT_INTERRUPTED = 130;

/**
 * Runs one command line and resolves to the exit code. Prints errors, never throws them.
 * @param args the words after the program's name
 */
export async function runNebulactl(commands: CommandTable, args: readonly string[], given: Io, signal: AbortSignal): Promise<number> {
  const io = printableIo(given);
  if (args[0] === NAMES_COMMAND) return await (await import("./commands/completion/print-names.ts")).printNames(args.slice(1), io, signal);
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
  // Help and version call no server, so they do not load these.
  const [{ Session }, { findLogin }] = await Promise.all([import("./session/session.ts"), import("./command/find-login.ts")]);
  const session = new Session({ findLogin: () => findLogin(values, io, signal), connect: (login) => io.connect(login) });
  const explain = async (error: unknown) => {
    const { explainError } = await import("./errors/describe-error.ts");
    return explainError(error, session.knownLogin, { changing: session.mayHaveChanged });
  };
  try {
    await askForMissing(path.join(" "), command, values, io, signal);
    const context: CommandContext = {
      values,
      output,
      paint: paintFor(io.outIsTerminal, io.env),
      io,
      signal,
      login: () => session.login(),
      explain,
      client: (service) => session.client(service),
    };
    return await command.run(context);
  } catch (error) {
    printError(await explain(error), io);
    if (values.on(DEBUG)) io.err(`${printable(stackOf(error))}\n`);
    return error instanceof Interrupted || signal.reason instanceof Interrupted ? EXIT_INTERRUPTED : EXIT_WRONG;
  }
}

/**
 * Asks for required values that were not given; without a terminal it throws an error that names the argument and the
 * flag.
 */
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

/**
 * The same outputs, with control characters escaped in everything that any command prints, since devices and other
 * users write part of it. Layout escapes texts too; this is the second line of defence. Only nebulactl's own styles
 * pass, and only on a terminal.
 */
function printableIo(io: Io): Io {
  return {
    ...io,
    out: (text) => io.out(safe(text, io.outIsTerminal)),
    err: (text) => io.err(safe(text, io.errIsTerminal)),
    redraw: (lines) => io.redraw(lines.map((line) => safe(line.replaceAll("\n", " "), io.outIsTerminal))),
    terminal: io.terminal === undefined ? undefined : printableTerminal(io.terminal),
  };
}

function printableTerminal(terminal: Terminal): Terminal {
  return {
    ask: (question, signal) => terminal.ask(printable(question), signal),
    askSecret: (question, signal) => terminal.askSecret(printable(question), signal),
  };
}

function safe(text: string, colors: boolean): string {
  if (!colors) return printable(text);
  return text
    .split(STYLE_CODE)
    .map((part, index) => (index % 2 === 1 ? part : printable(part)))
    .join("");
}

function printError([first = "", ...more]: readonly string[], io: Io): void {
  const paint = paintFor(io.errIsTerminal, io.env);
  io.err(`${paint.red("error:")} ${[first, ...more].map(printable).join("\n")}\n`);
}

function stackOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return error instanceof Error && error.cause !== undefined ? `${stack}\ncaused by: ${stackOf(error.cause)}` : stack;
}

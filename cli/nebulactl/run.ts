import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
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
import { type CommandLine, howToGive, missingFlags, parseCommandLine } from "./command/parse-command-line.ts";
import type { GivenFlags } from "./command/parse-flags.ts";
import { explainError } from "./errors/describe-error.ts";
import type { Io } from "./io.ts";
import { findLogin } from "./login/find-login.ts";
import type { Login } from "./login/resolve-login.ts";
import { paintFor } from "./output/paint.ts";
import { printableIo } from "./output/printable-io.ts";

/** Anything that went wrong, usage included. 2 and 3 say how a waited-for apply ended. */
const EXIT_WRONG = 1;

/**
 * Runs one command line and resolves to the exit code. Whatever goes wrong is printed, never thrown.
 * @param args what follows the program's name
 */
export async function runNebulactl(table: CommandTable, args: readonly string[], given: Io, signal: AbortSignal): Promise<number> {
  const io = printableIo(given);
  const line = parseCommandLine(table, args);
  switch (line.kind) {
    case "help":
      io.out(`${help(table, line.topic).join("\n")}\n`);
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
    return EXIT_WRONG;
  }
}

/** The login and the transport of one run, each made when it is first needed. */
class Session {
  readonly #values: GivenFlags;
  readonly #io: Io;
  readonly #signal: AbortSignal;
  #login: Promise<Login> | undefined;
  #transport: Transport | undefined;
  /** The login, once it is known. */
  #known: Login | undefined;
  /** Whether a call was made that may have changed something. */
  #changing = false;

  constructor(values: GivenFlags, io: Io, signal: AbortSignal) {
    this.#values = values;
    this.#io = io;
    this.#signal = signal;
  }

  async login(): Promise<Login> {
    this.#login ??= findLogin(this.#values, this.#io, this.#signal);
    const login = await this.#login;
    this.#known = login;
    return login;
  }

  async client<S extends DescService>(service: S) {
    const login = await this.login();
    this.#transport ??= this.#noting(this.#io.connect(login));
    return createClient(service, this.#transport);
  }

  explain(error: unknown): Promise<string[]> {
    return explainError(error, this.#known, { changing: this.#changing });
  }

  /** The same transport; whether a call that changes something was made is noted. */
  #noting(transport: Transport): Transport {
    const note = ({ idempotency }: DescMethod) => {
      this.#changing ||= idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    };
    return {
      unary: (method, ...call) => {
        note(method);
        return transport.unary(method, ...call);
      },
      stream: (method, ...call) => {
        note(method);
        return transport.stream(method, ...call);
      },
    };
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

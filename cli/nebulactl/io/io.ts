import type { Transport } from "@connectrpc/connect";
import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Login } from "../session/resolve-login.ts";

/** Ctrl-C, or a signal that ends the program. Has an exit code of its own. */
export class Interrupted extends NebulaError {
  constructor() {
    super("cancelled", "interrupted");
  }
}

/** A terminal that can ask its user. */
export interface Terminal {
  /** Resolves to the typed line without its end. Rejects with the reason of the signal when that is aborted. */
  ask(question: string, signal: AbortSignal): Promise<string>;
  /** The same, without showing what is typed. */
  askSecret(question: string, signal: AbortSignal): Promise<string>;
}

/**
 * Everything outside of itself that nebulactl uses, except files: it reads those that the home folder and the arguments
 * name.
 */
export type Io = Readonly<{
  env: Readonly<Record<string, string | undefined>>;
  /** The user's home folder. */
  home: string;
  clock: Clock;
  /** Writes to standard output. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Writes lines to a terminal in place of those that it wrote last, if nothing was written since. */
  redraw(lines: readonly string[]): void;
  /** Whether standard output is a terminal: only then colours are used. */
  outIsTerminal: boolean;
  errIsTerminal: boolean;
  /** The columns of standard output; undefined if it is not a terminal, and then nothing is cut. */
  columns: number | undefined;
  /** Reads all of standard input. Rejects with the reason of the signal when that is aborted first. */
  readStdin(signal: AbortSignal): Promise<string>;
  /** undefined if there is no terminal to ask on. */
  terminal: Terminal | undefined;
  /** Opens the transport to a server. */
  connect(login: Login): Promise<Transport>;
}>;

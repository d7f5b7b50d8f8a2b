import type { Transport } from "@connectrpc/connect";
import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Login } from "./login/resolve-login.ts";

/** Ctrl-C, or a signal that ends the program: it is no fault, and has an exit code of its own. */
export class Interrupted extends NebulaError {
  constructor() {
    super("cancelled", "interrupted");
  }
}

/** Somebody who can be asked. */
export interface Terminal {
  /** What was typed, without the line's end. Rejects with the signal's reason when that is aborted. */
  ask(question: string, signal: AbortSignal): Promise<string>;
  /** The same, and nothing of it is shown. */
  askSecret(question: string, signal: AbortSignal): Promise<string>;
}

/** All that nebulactl touches outside of itself; files are read where the home folder and the arguments say. */
export type Io = Readonly<{
  env: Readonly<Record<string, string | undefined>>;
  /** The user's home folder. */
  home: string;
  clock: Clock;
  /** Writes to standard output. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
  /** Whether standard output is a terminal: only then are there colours. */
  outIsTerminal: boolean;
  errIsTerminal: boolean;
  /** The columns of standard output; undefined: it is no terminal, and nothing is cut. */
  columns: number | undefined;
  /** All of standard input. Rejects with the signal's reason when that is aborted first. */
  readStdin(signal: AbortSignal): Promise<string>;
  /** undefined: nobody can be asked. */
  terminal: Terminal | undefined;
  /** The way to a server. */
  connect(login: Login): Promise<Transport>;
}>;

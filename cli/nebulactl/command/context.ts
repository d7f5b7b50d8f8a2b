import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Io } from "../io.ts";
import type { Login } from "../login/resolve-login.ts";
import type { Paint } from "../output/paint.ts";
import type { OutputFormat } from "./command.ts";
import type { FlagValues } from "./flags.ts";

/** What a command is run with. */
export type CommandContext = Readonly<{
  values: FlagValues;
  output: OutputFormat;
  paint: Paint;
  io: Io;
  signal: AbortSignal;
  /** Server and login of this run, resolved at the first call. */
  login(): Promise<Login>;
  /** What an error of this run says to a user, a line or more. */
  explain(error: unknown): Promise<string[]>;
  /** A client of one service at that server. */
  client<S extends DescService>(service: S): Promise<Client<S>>;
}>;

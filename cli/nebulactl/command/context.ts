import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Io } from "../io/io.ts";
import type { Paint } from "../output/paint.ts";
import type { OutputFormat } from "../output/render-value.ts";
import type { Login } from "../session/resolve-login.ts";
import type { FlagValues } from "./flags.ts";

/** The input and output of one run of a command. */
export type CommandContext = Readonly<{
  values: FlagValues;
  output: OutputFormat;
  paint: Paint;
  io: Io;
  signal: AbortSignal;
  /** The server and login of this run, resolved at the first call. */
  login(): Promise<Login>;
  /** Describes an error of this run to the user, in one or more lines. */
  explain(error: unknown): Promise<string[]>;
  /** A client for one service of that server. */
  client<S extends DescService>(service: S): Promise<Client<S>>;
}>;

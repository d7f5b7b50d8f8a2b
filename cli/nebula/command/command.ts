import type { Command, Environment } from "../../../common/settings/setting.ts";
import type { Settings } from "../../../common/settings/settings.ts";
import type { FlagName } from "../../../common/settings/sources.ts";
import type { Terminal } from "../../nebulactl/io/io.ts";

/** The parts of its process that a command uses. */
export type NebulaIo = Readonly<{
  env: Environment;
  readFile: (path: string) => string;
  /** Writes to standard output as it is. */
  write: (text: string) => void;
  /** Writes a line to standard output. */
  print: (line: string) => void;
  /** Writes a line to standard error. */
  complain: (line: string) => void;
  /** Whether standard output is a terminal: only then a password is shown. */
  terminal: boolean;
  /** Resolves to undefined if there is no terminal to ask on: standard input and standard error both have to be one. */
  openTerminal: () => Promise<Terminal | undefined>;
}>;

export type CommandContext = Readonly<{ settings: Settings; own: ReadonlyMap<string, string>; io: NebulaIo }>;

/** A flag of a command that is not a setting. */
export type OwnFlag = FlagName & Readonly<{ placeholder: string; meaning: string }>;

type Described = Readonly<{
  /** One line for the list of commands. */
  summary: string;
  ownFlags: readonly OwnFlag[];
}>;

/**
 * A subcommand that takes the settings of its name. `run` returns the exit code and throws NebulaErrors; only their
 * message is shown.
 */
export type SettingsCommand = Described & Readonly<{ kind: "settings"; name: Command; run: (context: CommandContext) => Promise<number> }>;

/** A subcommand that takes its own flags alone. */
export type PlainCommand = Described &
  Readonly<{ kind: "plain"; name: string; run: (context: Pick<CommandContext, "own" | "io">) => Promise<number> }>;

/** A subcommand of `nebula`. */
export type NebulaCommand = SettingsCommand | PlainCommand;

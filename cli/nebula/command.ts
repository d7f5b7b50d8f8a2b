import type { FlagName } from "../../common/settings/read-flags.ts";
import type { Command, Environment } from "../../common/settings/setting.ts";
import type { Settings } from "../../common/settings/settings.ts";

/** What a command reaches of its process. */
export type NebulaIo = Readonly<{
  env: Environment;
  readFile: (path: string) => string;
  /** Writes to standard output as it is. */
  write: (text: string) => void;
  /** Writes a line to standard output. */
  print: (line: string) => void;
  /** Writes a line to standard error. */
  complain: (line: string) => void;
  /** Whether a person reads standard output: only then a password is shown. */
  terminal: boolean;
}>;

export type CommandContext = Readonly<{ settings: Settings; own: ReadonlyMap<string, string>; io: NebulaIo }>;

/** A flag of a command that is no setting. */
export type OwnFlag = FlagName & Readonly<{ placeholder: string; meaning: string }>;

type Described = Readonly<{
  /** One line for the list of commands. */
  summary: string;
  ownFlags: readonly OwnFlag[];
}>;

/** A subcommand that takes settings: its name says which. `run` answers the exit code; it throws NebulaErrors, whose message is all that is shown. */
export type SettingsCommand = Described & Readonly<{ kind: "settings"; name: Command; run: (context: CommandContext) => Promise<number> }>;

/** A subcommand that takes its own flags alone. */
export type PlainCommand = Described &
  Readonly<{ kind: "plain"; name: string; run: (context: Pick<CommandContext, "own" | "io">) => Promise<number> }>;

/** A subcommand of `nebula`. */
export type NebulaCommand = SettingsCommand | PlainCommand;

import type { FlagName } from "../../common/settings/read-flags.ts";
import type { Command, Environment } from "../../common/settings/setting.ts";
import type { Settings } from "../../common/settings/settings.ts";

/** What a command reaches of its process. */
export type NebulaIo = Readonly<{
  env: Environment;
  readFile: (path: string) => string;
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

/** A subcommand of `nebula`. */
export type NebulaCommand = Readonly<{
  /** Its name, which also says which settings it takes. */
  name: Command;
  /** One line for the list of commands. */
  summary: string;
  ownFlags: readonly OwnFlag[];
  /** Answers the exit code; throws NebulaErrors, whose message is all that is shown. */
  run(context: CommandContext): Promise<number>;
}>;

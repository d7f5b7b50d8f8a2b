import type { CommandContext } from "./context.ts";
import type { Flag, NumberFlag, TextFlag } from "./flags.ts";

/** A value that may be given by position, and always by its flag as well: `apps info web`, `apps info --app web`. */
export type Argument = Readonly<{
  /** In capitals, as the help shows it. */
  label: string;
  flag: TextFlag;
}>;

const OUTPUT_FORMATS = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** One thing that nebulactl does. Parsing, help, suggestions and completion all come from this description. */
export type Command = Readonly<{
  kind: "command";
  name: string;
  aliases?: readonly string[];
  /** One sentence. */
  summary: string;
  /** Whole lines for the help that say more. */
  details?: readonly string[];
  examples?: readonly string[];
  arguments?: readonly Argument[];
  flags?: readonly Flag[];
  /** Flags that have to be given: asked for on a terminal, an error that names them elsewhere. */
  required?: readonly (TextFlag | NumberFlag)[];
  /** What -o may be, the default first. Absent: there is no -o. */
  outputs?: readonly [OutputFormat, ...OutputFormat[]];
  /** Resolves to the exit code. */
  run(context: CommandContext): Promise<number>;
}>;

/** What several commands are about: `apps list`, `apps create`, ... */
export type Noun = Readonly<{
  kind: "noun";
  name: string;
  aliases?: readonly string[];
  summary: string;
  verbs: readonly (Command | Deferred<Command>)[];
  /** The verb that is meant where none is given. */
  defaultVerb?: string;
}>;

/** What help and suggestions need of a command or noun whose module is not loaded. */
export type Deferred<T extends Command | Noun> = Readonly<{
  kind: "deferred";
  name: string;
  aliases?: readonly string[];
  summary: string;
  load(): Promise<T>;
}>;

export type Entry = Command | Noun | Deferred<Command | Noun>;

/** All of nebulactl's commands. */
export type CommandTable = Readonly<{
  program: string;
  summary: string;
  /** Understood by every command, and before it. */
  globalFlags: readonly Flag[];
  entries: readonly Entry[];
}>;

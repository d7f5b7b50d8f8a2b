import type { OutputFormat } from "../output/render-value.ts";
import type { CommandContext } from "./context.ts";
import type { Flag, NumberFlag, TextFlag } from "./flags.ts";

/** A value that may be given by position or by its flag: `apps info web`, `apps info --app web`. */
export type Argument = Readonly<{
  /** In capitals, as help shows it. */
  label: string;
  flag: TextFlag;
}>;

/** One command. Parsing, help and suggestions all follow from this description. */
export type Command = Readonly<{
  kind: "command";
  name: string;
  aliases?: readonly string[];
  /** One sentence. */
  summary: string;
  /** More lines for help. */
  details?: readonly string[];
  examples?: readonly string[];
  arguments?: readonly Argument[];
  flags?: readonly Flag[];
  /** Flags that must be given: asked for on a terminal, else an error names them. */
  required?: readonly (TextFlag | NumberFlag)[];
  /** The formats of -o, the default first. Without them the command has no -o. */
  outputs?: readonly [OutputFormat, ...OutputFormat[]];
  /** Resolves to the exit code. */
  run(context: CommandContext): Promise<number>;
}>;

/** A group of commands on one subject: `apps list`, `apps create`, ... */
export type Noun = Readonly<{
  kind: "noun";
  name: string;
  aliases?: readonly string[];
  summary: string;
  verbs: readonly (Command | Deferred<Command>)[];
  /** The verb that runs if none is given. */
  defaultVerb?: string;
}>;

/** A command or noun whose module is not loaded, with what help and suggestions need of it. */
export type Deferred<T extends Command | Noun> = Readonly<{
  kind: "deferred";
  name: string;
  aliases?: readonly string[];
  summary: string;
  load(): Promise<T>;
}>;

/** Names of verbs that users of other tools type: `apps ls`, `apps rm web`, `apps describe web`. */
export const VERB_ALIASES: Readonly<Record<string, readonly string[]>> = { list: ["ls"], info: ["describe", "show"], delete: ["rm"] };

/** Every name of a verb: its own first. */
export function verbNames({ name, aliases = [] }: Pick<Command, "name" | "aliases">): readonly string[] {
  return [name, ...aliases, ...(VERB_ALIASES[name] ?? [])];
}

export type Entry = Command | Noun | Deferred<Command | Noun>;

/** The word before the kind of names that a completion script asks for: `nebulactl __names app`, then the words typed so far. No help shows it. */
export const NAMES_COMMAND = "__names";

/** All of nebulactl's commands. */
export type CommandTable = Readonly<{
  program: string;
  summary: string;
  /** Flags that every command accepts, also before its name. */
  globalFlags: readonly Flag[];
  entries: readonly Entry[];
}>;

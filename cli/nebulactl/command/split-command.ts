import { nearestName } from "../../../common/text/wording.ts";
import { type Command, type CommandTable, type Deferred, type Entry, type Noun, verbNames } from "./command.ts";
import { type Flag, normaliseName } from "./flags.ts";

/** A subject of help. */
export type Topic = { kind: "program" } | { kind: "noun"; noun: Noun } | { kind: "command"; path: readonly string[]; command: Command };

/** The command that the words name, and the other arguments in order. `noun` is set if the verb was left out. */
export type SplitCommand =
  | { kind: "command"; path: readonly string[]; command: Command; rest: readonly string[]; noun?: Topic }
  | { kind: "topic"; topic: Topic; rest: readonly string[] }
  | { kind: "wrong"; message: string; topic: Topic };

/** Finds the noun and the verb; global flags may be before and between them. */
export function splitCommand(table: CommandTable, args: readonly string[]): SplitCommand {
  const first = nextWord(args, table.globalFlags);
  if (first === undefined) return { kind: "topic", topic: { kind: "program" }, rest: args };
  const entry = named(table.entries, first.word);
  if (entry === undefined) {
    return { kind: "wrong", message: unknownName(table.program, "command", first.word, table.entries), topic: { kind: "program" } };
  }
  if (entry.kind === "deferred") throw new TypeError(`${entry.name} was not loaded`);
  if (entry.kind === "command") return { kind: "command", path: [entry.name], command: entry, rest: first.rest };

  const topic: Topic = { kind: "noun", noun: entry };
  const meant = loaded(entry.verbs.find(({ name }) => name === entry.defaultVerb));
  // An -h of the default verb is not the global flag, so it can't be before a verb.
  const second = nextWord(first.rest, meant === undefined ? table.globalFlags : globalFlagsBeside(table, meant));
  const verb = second === undefined ? undefined : loaded(entry.verbs.find((known) => verbNames(known).includes(normaliseName(second.word))));
  if (second !== undefined && verb !== undefined) return { kind: "command", path: [entry.name, verb.name], command: verb, rest: second.rest };
  if (second === undefined && meant !== undefined)
    return { kind: "command", path: [entry.name, meant.name], command: meant, rest: first.rest, noun: topic };
  if (second === undefined) return { kind: "topic", topic, rest: first.rest };
  return { kind: "wrong", message: unknownName(`${table.program} ${entry.name}`, "verb", second.word, entry.verbs), topic };
}

/** Narrows a verb to a loaded one: loadNamed has loaded those that the command line names. */
function loaded(verb: Command | Deferred<Command> | undefined): Command | undefined {
  if (verb?.kind === "deferred") throw new TypeError(`${verb.name} was not loaded`);
  return verb;
}

function named<E extends Entry>(entries: readonly E[], word: string): E | undefined {
  const name = normaliseName(word);
  return entries.find((entry) => entry.name === name || entry.aliases?.includes(name));
}

/** The global flags without the names and letters that the command itself uses. */
export function globalFlagsBeside(table: CommandTable, command: Command): Flag[] {
  const own = allFlags(command);
  return table.globalFlags
    .filter(({ name }) => !own.some((flag) => flag.name === name))
    .map(({ short, ...flag }) => (short === undefined || own.some((taken) => taken.short === short) ? flag : { ...flag, short }));
}

/** Every flag of a command, those of its arguments included. */
export function allFlags(command: Command): readonly Flag[] {
  return [...(command.arguments ?? []).map(({ flag }) => flag), ...(command.flags ?? [])];
}

/**
 * The first word that is neither a global flag nor its value. A flag that is not global ends the search, since its
 * command is not known yet.
 */
function nextWord(args: readonly string[], globalFlags: readonly Flag[]): { word: string; rest: readonly string[] } | undefined {
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (!arg.startsWith("-") || arg === "-") return { word: arg, rest: args.toSpliced(index, 1) };
    const name = normaliseName(arg.replace(/^--?/, ""));
    const flag = globalFlags.find((known) => known.name === name || known.short === name || known.aliases?.includes(name));
    if (flag === undefined && !arg.includes("=")) return undefined;
    if (flag?.kind === "text" || flag?.kind === "number") index++;
  }
  return undefined;
}

function unknownName(program: string, what: string, word: string, entries: readonly Entry[]): string {
  const nearest = nearestName(
    normaliseName(word),
    entries.flatMap(({ name, aliases }) => [name, ...(aliases ?? [])]),
  );
  return `unknown ${what} "${word}"${nearest === undefined ? "" : `; did you mean ${program} ${nearest}?`}`;
}

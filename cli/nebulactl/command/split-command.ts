import { nearestName } from "../../../common/validation/nearest-name.ts";
import type { Command, CommandTable, Deferred, Entry, Noun } from "./command.ts";
import { type Flag, normaliseName } from "./flags.ts";

/** What help can be about. */
export type Topic = { kind: "program" } | { kind: "noun"; noun: Noun } | { kind: "command"; path: readonly string[]; command: Command };

/** The command that the words name, and everything else that was typed, in order. `noun` is set where the verb was left out. `help` is set where no command was meant. */
export type SplitCommand =
  | { kind: "command"; path: readonly string[]; command: Command; rest: readonly string[]; noun?: Topic }
  | { kind: "topic"; topic: Topic; rest: readonly string[] }
  | { kind: "wrong"; message: string; topic: Topic };

/** Finds noun and verb; global flags may stand before and between them. */
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
  // An -h of the verb that is meant without a word is no global flag that could stand before one.
  const second = nextWord(first.rest, meant === undefined ? table.globalFlags : globalFlagsBeside(table, meant));
  const verb = second === undefined ? undefined : loaded(named(entry.verbs, second.word));
  if (second !== undefined && verb !== undefined) return { kind: "command", path: [entry.name, verb.name], command: verb, rest: second.rest };
  if (second === undefined && meant !== undefined)
    return { kind: "command", path: [entry.name, meant.name], command: meant, rest: first.rest, noun: topic };
  if (second === undefined) return { kind: "topic", topic, rest: first.rest };
  return { kind: "wrong", message: unknownName(`${table.program} ${entry.name}`, "verb", second.word, entry.verbs), topic };
}

/** What a command line names was loaded before it is split. */
function loaded(verb: Command | Deferred<Command> | undefined): Command | undefined {
  if (verb?.kind === "deferred") throw new TypeError(`${verb.name} was not loaded`);
  return verb;
}

function named<E extends Entry>(entries: readonly E[], word: string): E | undefined {
  const name = normaliseName(word);
  return entries.find((entry) => entry.name === name || entry.aliases?.includes(name));
}

/** The global flags as they are left where a command has a name or a letter of its own. */
export function globalFlagsBeside(table: CommandTable, command: Command): Flag[] {
  const own = allFlags(command);
  return table.globalFlags
    .filter(({ name }) => !own.some((flag) => flag.name === name))
    .map(({ short, ...flag }) => (short === undefined || own.some((taken) => taken.short === short) ? flag : { ...flag, short }));
}

/** Every flag of a command's own, those that an argument may also be given by included. */
export function allFlags(command: Command): readonly Flag[] {
  return [...(command.arguments ?? []).map(({ flag }) => flag), ...(command.flags ?? [])];
}

/** The first word that is neither a global flag nor the value of one. A flag that is not global ends the search: its command is not named yet. */
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
  return `there is no ${what} "${word}"${nearest === undefined ? "" : `: did you mean ${program} ${nearest}?`}`;
}

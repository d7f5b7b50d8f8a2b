import type { Command, CommandTable, Entry, Noun } from "../../command/command.ts";
import { verbNames } from "../../command/command.ts";
import type { Flag, Offers } from "../../command/flags.ts";
import { outputFlag } from "../../command/global-flags.ts";
import { spellingsOf } from "../../command/parse-flags.ts";
import { allFlags, globalFlagsBeside } from "../../command/split-command.ts";

/** A word that a shell offers, with a sentence beside it where the shell shows one. */
export type OfferedWord = Readonly<{ word: string; help: string }>;

/** The values that a shell offers; `nothing` where only the user knows them. */
export type OfferedValues = Offers | Readonly<{ nothing: true }>;

/** A flag that takes a value, under all of its spellings. */
export type ValuedFlag = Readonly<{ spellings: readonly string[]; offers: OfferedValues }>;

/** A place in a command line: the beginning, a noun, or a command. */
export type Place = Readonly<{
  /** The words that lead here: none, `apps`, `apps update`. */
  path: readonly string[];
  /** Other spellings of the last word. */
  aliases: readonly string[];
  /** Nouns or verbs that may follow. */
  next: readonly OfferedWord[];
  flags: readonly OfferedWord[];
  valued: readonly ValuedFlag[];
  /** The arguments of a command, in order. */
  arguments: readonly OfferedValues[];
}>;

/**
 * Every place of a command line, each after those that lead to it. All of the table has to be loaded.
 * Throws TypeError if an entry is deferred.
 */
export function describeTable(table: CommandTable): readonly Place[] {
  return [
    {
      path: [],
      aliases: [],
      next: [...table.entries.map(entryWord), { word: "help", help: "Shows the help of a command." }],
      ...describeFlags(table.globalFlags),
      arguments: [],
    },
    ...table.entries.flatMap((entry) => describeEntry(table, entry)),
  ];
}

function describeEntry(table: CommandTable, entry: Entry): Place[] {
  if (entry.kind === "deferred") throw new TypeError(`${entry.name} was not loaded`);
  if (entry.kind === "command") return [describeCommand(table, [entry.name], entry, entry.aliases ?? [])];
  const verbs = entry.verbs.map((verb) => {
    if (verb.kind === "deferred") throw new TypeError(`${entry.name} ${verb.name} was not loaded`);
    return describeCommand(table, [entry.name, verb.name], verb, verbNames(verb).slice(1));
  });
  return [describeNoun(table, entry, verbs), ...verbs];
}

/** A noun takes the flags of its default verb too. */
function describeNoun(table: CommandTable, { name, aliases = [], verbs, defaultVerb }: Noun, places: readonly Place[]): Place {
  const meant = places.find(({ path }) => path[1] === defaultVerb);
  const { flags, valued } = meant ?? describeFlags(table.globalFlags);
  return { path: [name], aliases, next: verbs.map(entryWord), flags, valued, arguments: [] };
}

function describeCommand(table: CommandTable, path: readonly string[], command: Command, aliases: readonly string[]): Place {
  const output = command.outputs === undefined ? [] : [outputFlag(command.outputs)];
  return {
    path,
    aliases,
    next: [],
    ...describeFlags([...allFlags(command), ...output, ...globalFlagsBeside(table, command)]),
    arguments: (command.arguments ?? []).map(({ flag }) => offersOf(flag)),
  };
}

function describeFlags(flags: readonly Flag[]): Pick<Place, "flags" | "valued"> {
  return {
    flags: flags.flatMap((flag) => [
      { word: `--${flag.name}`, help: flag.help },
      ...(flag.kind === "toggle" ? [{ word: `--${flag.off}`, help: `The opposite of --${flag.name}.` }] : []),
    ]),
    valued: flags.flatMap((flag) =>
      flag.kind === "text" || flag.kind === "number"
        ? [{ spellings: spellingsOf(flag).map(({ name }) => (name.length === 1 ? `-${name}` : `--${name}`)), offers: offersOf(flag) }]
        : [],
    ),
  };
}

function offersOf(flag: Flag): OfferedValues {
  if (flag.kind !== "text") return { nothing: true };
  return flag.choices === undefined ? (flag.offers ?? { nothing: true }) : { words: flag.choices };
}

function entryWord({ name, summary }: Entry): OfferedWord {
  return { word: name, help: summary };
}

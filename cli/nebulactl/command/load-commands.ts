import { type Command, type CommandTable, type Deferred, type Entry, type Noun, verbNames } from "./command.ts";
import { normaliseName } from "./flags.ts";

/**
 * Loads the noun and the verb that a command line names; all other entries stay deferred, since help and suggestions
 * need only their names and summaries. A value that happens to be the name of a command costs the load of one module.
 * @param args the arguments after the name of the program
 */
export async function loadNamed(table: CommandTable, args: readonly string[]): Promise<CommandTable> {
  const words = new Set(args.map(normaliseName));
  return loadWhere(table, (entry) => verbNames(entry).some((known) => words.has(known)));
}

/** The whole table. */
export function loadAll(table: CommandTable): Promise<CommandTable> {
  return loadWhere(table, () => true);
}

type Named = Pick<Entry, "name" | "aliases">;

async function loadWhere(table: CommandTable, wanted: (entry: Named) => boolean): Promise<CommandTable> {
  return { ...table, entries: await Promise.all(table.entries.map((entry) => (wanted(entry) ? loadEntry(entry, wanted) : entry))) };
}

async function loadEntry(entry: Entry, wanted: (entry: Named) => boolean): Promise<Entry> {
  const loaded: Command | Noun = entry.kind === "deferred" ? await entry.load() : entry;
  if (loaded.kind === "command") return loaded;
  return { ...loaded, verbs: await Promise.all(loaded.verbs.map((verb) => (verb.kind === "deferred" && wanted(verb) ? verb.load() : verb))) };
}

/** Makes a command or noun whose module is loaded when it is named. */
export function deferred<T extends Command | Noun>(described: Omit<Deferred<T>, "kind">): Deferred<T> {
  return { kind: "deferred", ...described };
}

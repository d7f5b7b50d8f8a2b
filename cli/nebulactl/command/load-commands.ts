import type { Command, CommandTable, Deferred, Entry, Noun } from "./command.ts";
import { normaliseName } from "./flags.ts";

/**
 * The table in which what a command line names is loaded, noun and verb, and the rest is as it was: names and summaries are all that help and suggestions need
 * of it. A word that only happens to be a command's name costs no more than its module.
 * @param args what follows the program's name
 */
export async function loadNamed(table: CommandTable, args: readonly string[]): Promise<CommandTable> {
  const words = new Set(args.map(normaliseName));
  return loadWhere(table, ({ name, aliases = [] }) => [name, ...aliases].some((known) => words.has(known)));
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

/** A command, or a noun, whose module is loaded when it is named. */
export function deferred<T extends Command | Noun>(described: Omit<Deferred<T>, "kind">): Deferred<T> {
  return { kind: "deferred", ...described };
}

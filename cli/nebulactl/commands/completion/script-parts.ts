import { assertNever } from "../../../../common/errors/assert-never.ts";
import { VERSION } from "../../../../common/version.ts";
import type { OfferedValues, OfferedWord, Place } from "./describe-table.ts";

/** The line that a script's function prints in place of words where files are offered. */
export const FILES_LINE = ":files";

/** A case of a script's switch: a text that is compared, in several spellings, and the lines that answer it. */
export type Case = Readonly<{ texts: readonly string[]; lines: readonly string[] }>;

/** The answers of the four questions that the walk through a command line asks. */
export type ScriptCases = Readonly<{
  /** From a place and a word, joined by a blank, to the next place. */
  step: readonly Case[];
  /** From a place and a flag, joined by `:`, to the values of the flag: a line of OfferedValues first. */
  value: readonly Case[];
  /** From a place and the number of its argument, joined by `:`, to the same. */
  argument: readonly Case[];
  /** From a place to the nouns or verbs that may follow. */
  next: readonly Case[];
  /** From a place to its flags. */
  flags: readonly Case[];
}>;

/** The first line of a script. */
export function titleOf(shell: string): string {
  return `# Completion of nebulactl ${VERSION} for ${shell}, made by: nebulactl completion ${shell}`;
}

/** The cases of a script. @param help whether the shell shows a sentence beside a word, after a |, which no word has */
export function scriptCases(places: readonly Place[], help: boolean): ScriptCases {
  const wordLines = (words: readonly OfferedWord[]) => words.map(({ word, help: text }) => (help ? `${word}|${sentence(text)}` : word));
  return {
    step: places.flatMap(({ path, aliases }) => {
      const [last = "", ...before] = path.toReversed();
      const spelled = (word: string) => [...before.toReversed(), word].join(" ");
      return path.length === 0 ? [] : [{ texts: [last, ...aliases].map(spelled), lines: [path.join(" ")] }];
    }),
    value: places.flatMap(({ path, valued }) =>
      valued.map(({ spellings, offers }) => ({ texts: spellings.map((spelling) => `${path.join(" ")}:${spelling}`), lines: valueLines(offers) })),
    ),
    argument: places.flatMap(({ path, arguments: taken }) =>
      taken.map((offers, index) => ({ texts: [`${path.join(" ")}:${index}`], lines: valueLines(offers) })),
    ),
    next: places.flatMap(({ path, next }) => (next.length === 0 ? [] : [{ texts: [path.join(" ")], lines: wordLines(next) }])),
    flags: sameFirst(places.map(({ path, flags }) => ({ texts: [path.join(" ")], lines: wordLines(flags) }))),
  };
}

/** Cases with the same lines become one. */
function sameFirst(cases: readonly Case[]): Case[] {
  const found = new Map<string, Case>();
  for (const { texts, lines } of cases) {
    const key = lines.join("\n");
    found.set(key, { texts: [...(found.get(key)?.texts ?? []), ...texts], lines });
  }
  return [...found.values()];
}

function valueLines(offers: OfferedValues): string[] {
  if ("words" in offers) return ["words", ...offers.words];
  if ("names" in offers) return ["names", offers.names];
  if ("files" in offers) return ["files"];
  if ("nothing" in offers) return ["nothing"];
  return assertNever(offers);
}

/** The first sentence, without its end. */
function sentence(text: string): string {
  return (text.split(/(?<=[.:;]) /)[0] ?? "").replace(/[.:;]$/, "");
}

import { strict as assert } from "node:assert";

export type MarkedCommands = Readonly<{ mark: string; commands: string }>;

/** The blocks of shell commands, and of files, on a page that a comment stands right above, `<!-- MARK -->`. */
export function markedCommands(page: string): readonly MarkedCommands[] {
  return [...page.matchAll(/<!-- (.*?) -->\n```\w+\n(.*?)```/gs)].map(([, mark = "", commands = ""]) => ({ mark, commands }));
}

/** The commands, or the file, below `<!-- MARK -->`, with some words replaced; each of them has to be there. */
export function commandsBelow(page: string, mark: string, replaced: Readonly<Record<string, string>> = {}): string {
  let commands = markedCommands(page).find((block) => block.mark === mark)?.commands ?? assert.fail(`no block with the mark "${mark}"`);
  for (const [word, other] of Object.entries(replaced)) {
    assert.ok(commands.includes(word), `${mark}: no "${word}" in:\n${commands}`);
    commands = commands.replaceAll(word, other);
  }
  return commands;
}

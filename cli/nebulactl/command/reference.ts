import { type Command, type CommandTable, type Entry, VERB_ALIASES } from "./command.ts";
import type { Flag } from "./flags.ts";
import { outputFlag } from "./global-flags.ts";
import { flagNames, usageLine } from "./help.ts";
import { allFlags } from "./split-command.ts";

/** The reference of all commands: docs/nebulactl.md. All of the table has to be loaded. */
export function commandReference(table: CommandTable): string {
  const aliases = Object.entries(VERB_ALIASES).flatMap(([verb, others]) => others.map((other) => `\`${other}\` for ${verb}`));
  return `# nebulactl

<!-- Made from cli/nebulactl/commands.ts and the commands that it names by \`npm run docs:nebulactl\`: change it there. -->

${table.summary} \`nebulactl login\` stores a server and a login; [settings.md](settings.md) is about the programs of the
server and of devices, this page about nebulactl alone.

In names of commands and flags \`-\` and \`_\` are the same, and a noun may be singular. A name is an argument or the value of
its flag: \`apps info web\`, \`apps info --app web\`. Other names of verbs: ${aliases.join(", ")}.
\`nebulactl completion\` completes all of it in bash, zsh and fish.

A command ends with 0 when it is done, with 130 at Ctrl-C, and with 1 for anything else, unless its section says more.

## Flags of every command
${flagsTable(table.globalFlags)}
${table.entries.map((entry) => entrySection(table, entry)).join("\n")}`;
}

function entrySection(table: CommandTable, entry: Entry): string {
  if (entry.kind === "deferred") throw new TypeError(`${entry.name} was not loaded`);
  if (entry.kind === "command") return commandSection(table, [entry.name], entry);
  const verbs = entry.verbs.map((verb) => {
    if (verb.kind === "deferred") throw new TypeError(`${entry.name} ${verb.name} was not loaded`);
    return commandSection(table, [entry.name, verb.name], verb);
  });
  const meant = entry.defaultVerb === undefined ? "" : ` Without a verb: ${entry.defaultVerb}.`;
  return `## ${entry.name}\n${markdown(entry.summary)}${meant}\n\n${verbs.join("\n")}`;
}

function commandSection(table: CommandTable, path: readonly string[], command: Command): string {
  const flags = [...allFlags(command), ...(command.outputs === undefined ? [] : [outputFlag(command.outputs)])];
  const details = (command.details ?? []).length === 0 ? "" : `\n${markdown((command.details ?? []).join(" "))}\n`;
  const examples = (command.examples ?? []).length === 0 ? "" : `\n\`\`\`sh\n${command.examples?.join("\n")}\n\`\`\`\n`;
  return [
    `${path.length === 1 ? "##" : "###"} ${path.join(" ")}\n`,
    `${markdown(command.summary)}\n${details}\n\`${usageLine(table, path, command)}\`\n`,
    flags.length === 0 ? "" : flagsTable(flags),
    examples,
  ].join("");
}

function flagsTable(flags: readonly Flag[]): string {
  const rows = flags.map((flag) => {
    const value = flag.kind === "text" || flag.kind === "number" ? ` ${flag.placeholder}` : "";
    return `| \`${cell(`${flagNames(flag)}${value}`)}\` | ${cell(markdown(flag.help))} |\n`;
  });
  return `\n| flag | meaning |\n|---|---|\n${rows.join("")}`;
}

/** A text in a cell of a table. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** A text that holds nothing that Markdown reads otherwise than as it is, except code. */
function markdown(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part, index) => (index % 2 === 1 ? part : part.replaceAll(/[<*]/g, "\\$&")))
    .join("");
}

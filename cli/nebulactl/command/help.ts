import { assertNever } from "../../../common/errors/assert-never.ts";
import type { Command, CommandTable, Entry } from "./command.ts";
import type { Flag } from "./flags.ts";
import { outputFlag } from "./global-flags.ts";
import { globalFlagsBeside, type Topic } from "./split-command.ts";

/** The help on the program, one noun or one command, as lines. */
export function help(table: CommandTable, topic: Topic): string[] {
  switch (topic.kind) {
    case "program":
      return [
        table.summary,
        "",
        `Usage: ${table.program} COMMAND [flags]`,
        ...section("Commands", table.entries.map(entryRow)),
        ...section("Flags of every command", table.globalFlags.map(flagRow)),
        "",
        `More on a command: ${table.program} COMMAND --help`,
      ];
    case "noun":
      return [
        topic.noun.summary,
        "",
        `Usage: ${table.program} ${topic.noun.name} VERB [flags]`,
        ...section("Verbs", topic.noun.verbs.map(entryRow)),
        "",
        `More on a verb: ${table.program} ${topic.noun.name} VERB --help`,
      ];
    case "command":
      return commandHelp(table, topic.path, topic.command);
    default:
      return assertNever(topic);
  }
}

/** Where the help is. */
export function usage(table: CommandTable, topic: Topic): string {
  if (topic.kind === "program") return `see ${table.program} --help`;
  return `see ${table.program} ${topic.kind === "noun" ? topic.noun.name : topic.path.join(" ")} --help`;
}

function commandHelp(table: CommandTable, path: readonly string[], command: Command): string[] {
  const labels = (command.arguments ?? []).map(({ label, flag }) => (command.required?.includes(flag) ? ` ${label}` : ` [${label}]`));
  const flags = [...(command.flags ?? []), ...(command.outputs === undefined ? [] : [outputFlag(command.outputs)])];
  return [
    command.summary,
    "",
    `Usage: ${table.program} ${path.join(" ")}${labels.join("")} [flags]`,
    ...((command.details ?? []).length === 0 ? [] : ["", ...(command.details ?? [])]),
    ...section(
      "Arguments",
      (command.arguments ?? []).map(({ label, flag }) => [label, `${flag.help} Also ${names(flag)}.`]),
    ),
    ...section("Flags", flags.map(flagRow)),
    ...section(
      "Flags of every command",
      globalFlagsBeside(table, command)
        .filter(({ name }) => name !== "version")
        .map(flagRow),
    ),
    ...((command.examples ?? []).length === 0 ? [] : ["", "Examples", ...(command.examples ?? []).map((line) => `  ${line}`)]),
  ];
}

function entryRow(entry: Entry): [string, string] {
  return [entry.name, entry.summary];
}

function flagRow(flag: Flag): [string, string] {
  const placeholder = flag.kind === "text" || flag.kind === "number" ? ` ${flag.placeholder}` : "";
  return [names(flag) + placeholder, flag.help];
}

/** `-i, --image`, `-r, --running / -s, --stopped`. */
function names(flag: Flag): string {
  const short = (letter: string | undefined) => (letter === undefined ? "" : `-${letter}, `);
  const on = `${short(flag.short)}--${flag.name}`;
  return flag.kind === "toggle" ? `${on} / ${short(flag.offShort)}--${flag.off}` : on;
}

/** The widest first column that still stands beside its text, characters. */
const WIDEST_NAMES = 42;

function section(title: string, rows: readonly (readonly [string, string])[]): string[] {
  if (rows.length === 0) return [];
  const width = Math.min(WIDEST_NAMES, Math.max(...rows.map(([first]) => first.length)));
  return ["", title, ...rows.flatMap(([first, text]) => row(first, text, width))];
}

function row(first: string, text: string, width: number): string[] {
  if (first.length <= width) return [`  ${first.padEnd(width)}  ${text}`];
  return [`  ${first}`, `  ${" ".repeat(width)}  ${text}`];
}

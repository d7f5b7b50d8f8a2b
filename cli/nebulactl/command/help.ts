import { assertNever } from "../../../common/errors/assert-never.ts";
import { displayWidth, padToWidth, wrapWords } from "../output/display-width.ts";
import { type Command, type CommandTable, type Entry, type Noun, VERB_ALIASES } from "./command.ts";
import type { Flag } from "./flags.ts";
import { outputFlag } from "./global-flags.ts";
import { globalFlagsBeside, type Topic } from "./split-command.ts";

/** The help of the program, one noun or one command, as lines. */
export function help(table: CommandTable, topic: Topic, columns = 80): string[] {
  return helpLines(table, topic).flatMap((line) => wrapped(line, columns));
}

/** A line of help, or a row of two columns whose second is wrapped beside the first. */
type HelpLine = string | Readonly<{ first: string; text: string; width: number }> | Readonly<{ example: string }>;

function wrapped(line: HelpLine, columns: number): string[] {
  if (typeof line === "string") return wrapWords(line, columns);
  if ("example" in line) {
    const lines = wrapWords(line.example, columns - 6); // two blanks before it, two more on a continuation line, and two for ` \\`
    return lines.map((text, index) => `${index === 0 ? "  " : "    "}${text}${index === lines.length - 1 ? "" : " \\"}`);
  }
  const { first, text, width } = line;
  const beside = wrapWords(text, Math.max(20, columns - width - 4));
  if (displayWidth(first) > width) return [`  ${first}`, ...beside.map((part) => `  ${" ".repeat(width)}  ${part}`)];
  return beside.map((part, index) => `  ${padToWidth(index === 0 ? first : "", width)}  ${part}`);
}

function helpLines(table: CommandTable, topic: Topic): HelpLine[] {
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
        ...aliasLines(topic.noun),
        "",
        `More on a verb: ${table.program} ${topic.noun.name} VERB --help`,
      ];
    case "command":
      return commandHelp(table, topic.path, topic.command);
    default:
      return assertNever(topic);
  }
}

/** Names the command that prints the help of a topic. */
export function usage(table: CommandTable, topic: Topic): string {
  if (topic.kind === "program") return `see ${table.program} --help`;
  return `see ${table.program} ${topic.kind === "noun" ? topic.noun.name : topic.path.join(" ")} --help`;
}

/** `nebulactl apps update APP [flags]`. */
export function usageLine({ program }: CommandTable, path: readonly string[], command: Command): string {
  const labels = (command.arguments ?? []).map(({ label, flag }) => (command.required?.includes(flag) ? ` ${label}` : ` [${label}]`));
  return `${program} ${path.join(" ")}${labels.join("")} [flags]`;
}

function commandHelp(table: CommandTable, path: readonly string[], command: Command): HelpLine[] {
  const flags = [...(command.flags ?? []), ...(command.outputs === undefined ? [] : [outputFlag(command.outputs)])];
  return [
    command.summary,
    "",
    `Usage: ${usageLine(table, path, command)}`,
    ...((command.details ?? []).length === 0 ? [] : ["", (command.details ?? []).join(" ")]),
    ...section(
      "Arguments",
      (command.arguments ?? []).map(({ label, flag }) => [label, `${flag.help} Also ${flagNames(flag)}.`]),
    ),
    ...section("Flags", flags.map(flagRow)),
    ...section(
      "Flags of every command",
      globalFlagsBeside(table, command)
        .filter(({ name }) => name !== "version")
        .map(flagRow),
    ),
    ...((command.examples ?? []).length === 0 ? [] : ["", "Examples", ...(command.examples ?? []).map((example) => ({ example }))]),
  ];
}

/** The other names of verbs that the noun has; none if it has no such verb. */
function aliasLines({ verbs }: Noun): string[] {
  const others = verbs.flatMap(({ name }) => (VERB_ALIASES[name] ?? []).map((alias) => `${alias} for ${name}`));
  return others.length === 0 ? [] : ["", `Other names of verbs: ${others.join(", ")}.`];
}

function entryRow(entry: Entry): [string, string] {
  return [entry.name, entry.summary];
}

function flagRow(flag: Flag): [string, string] {
  const placeholder = flag.kind === "text" || flag.kind === "number" ? ` ${flag.placeholder}` : "";
  return [flagNames(flag) + placeholder, flag.help];
}

/** `-i, --image`, `-r, --running / -s, --stopped`. */
export function flagNames(flag: Flag): string {
  const short = (letter: string | undefined) => (letter === undefined ? "" : `-${letter}, `);
  const on = `${short(flag.short)}--${flag.name}`;
  return flag.kind === "toggle" ? `${on} / ${short(flag.offShort)}--${flag.off}` : on;
}

/** The widest first column with its text beside it, columns of the terminal. */
const WIDEST_NAMES = 28;

function section(title: string, rows: readonly (readonly [string, string])[]): HelpLine[] {
  if (rows.length === 0) return [];
  const width = Math.min(WIDEST_NAMES, Math.max(...rows.map(([first]) => displayWidth(first))));
  return ["", title, ...rows.map(([first, text]) => ({ first, text, width }))];
}

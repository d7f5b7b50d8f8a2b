import { settingsHelp } from "../../common/settings/settings-docs.ts";
import { capitalized } from "../../common/text/wording.ts";
import { wrapWords } from "../nebulactl/output/display-width.ts";
import type { NebulaCommand } from "./command/command.ts";

/** The list of commands. */
export function overview(commands: readonly NebulaCommand[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "Usage: nebula COMMAND [FLAGS]",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "nebula COMMAND --help shows a command's settings, nebula --version the version. The API's client is nebulactl.",
  ]
    .flatMap(wrapped)
    .join("\n");
}

/** A line of help in 80 columns; its continuation is indented further. */
function wrapped(line: string): string[] {
  const indent = line.length - line.trimStart().length;
  const [first = "", ...more] = wrapWords(line.trimStart(), 80 - indent - (line.length > 80 ? 4 : 0));
  return [" ".repeat(indent) + first, ...more.map((part) => " ".repeat(indent + 4) + part)];
}

/** One command with its own flags and its settings. */
export function commandHelp(command: NebulaCommand): string {
  const { name, summary, ownFlags } = command;
  const own = ownFlags.map((flag) => `  --${[flag.name, flag.placeholder].join(" ").trimEnd()}  ${flag.meaning}`);
  return [
    `Usage: nebula ${name} [FLAGS]`,
    "",
    `${capitalized(summary)}.`,
    ...(own.length === 0 ? [] : ["", "Flags:", ...own]),
    ...(command.kind === "settings"
      ? ["", "Settings, as a flag, a variable, or a key of the settings file (docs/settings.md):", settingsHelp(command.name)]
      : []),
  ]
    .flatMap((text) => text.split("\n"))
    .flatMap(wrapped)
    .join("\n");
}

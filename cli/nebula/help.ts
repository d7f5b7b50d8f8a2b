import { settingsHelp } from "../../common/settings/settings-docs.ts";
import type { NebulaCommand } from "./command.ts";

/** The list of commands. */
export function overview(commands: readonly NebulaCommand[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "Usage: nebula COMMAND [FLAGS]",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "nebula COMMAND --help tells a command's settings, nebula --version the version. The API's client is nebulactl.",
  ].join("\n");
}

/** One command with its own flags and its settings. */
export function commandHelp(command: NebulaCommand): string {
  const { name, summary, ownFlags } = command;
  const own = ownFlags.map((flag) => `  --${[flag.name, flag.placeholder].join(" ").trimEnd()}  ${flag.meaning}`);
  return [
    `Usage: nebula ${name} [FLAGS]`,
    "",
    `${summary[0]?.toUpperCase()}${summary.slice(1)}.`,
    ...(own.length === 0 ? [] : ["", "Flags:", ...own]),
    ...(command.kind === "settings"
      ? ["", "Settings, as a flag, a variable, or a key of the settings file (docs/settings.md):", settingsHelp(command.name)]
      : []),
  ].join("\n");
}

import type { OutputFormat } from "../output/render-value.ts";
import type { Command, CommandTable } from "./command.ts";
import { type Flag, flagLabel, type NumberFlag, type TextFlag } from "./flags.ts";
import { HELP, outputFlag, VERSION } from "./global-flags.ts";
import { type GivenFlags, parseFlags } from "./parse-flags.ts";
import { allFlags, splitCommand, type Topic } from "./split-command.ts";

/** The outcome of parsing a command line. */
export type CommandLine =
  | Readonly<{ kind: "run"; path: readonly string[]; command: Command; values: GivenFlags; output: OutputFormat }>
  | Readonly<{ kind: "help"; topic: Topic }>
  | Readonly<{ kind: "version" }>
  | Readonly<{ kind: "wrong"; message: string; topic: Topic }>;

/** Parses a command line. @param args the arguments after the name of the program */
export function parseCommandLine(table: CommandTable, args: readonly string[]): CommandLine {
  const split = splitCommand(table, args[0] === "help" ? [...args.slice(1), "--help"] : args);
  if (split.kind === "wrong") return split;
  if (split.kind === "topic") {
    const parsed = parseFlags(split.rest, table.globalFlags, split.topic.kind === "noun" ? split.topic.noun.name : table.program);
    if (parsed.kind === "wrong") return { ...parsed, topic: split.topic };
    if (parsed.values.on(VERSION)) return { kind: "version" };
    if (parsed.values.on(HELP) || split.topic.kind === "program") return { kind: "help", topic: split.topic };
    const verbs = split.topic.kind === "noun" ? split.topic.noun.verbs.map(({ name }) => name) : [];
    return { kind: "wrong", message: `missing verb; use one of ${verbs.join(", ")}`, topic: split.topic };
  }

  const { command, path } = split;
  const topic: Topic = { kind: "command", path, command };
  const output = command.outputs === undefined ? undefined : outputFlag(command.outputs);
  // The flags of the command come last, so that an -h of its own takes precedence.
  const parsed = parseFlags(split.rest, [...table.globalFlags, ...allFlags(command), ...(output === undefined ? [] : [output])], path.join(" "));
  if (parsed.kind === "wrong") return { ...parsed, topic };
  if (parsed.values.on(HELP)) return { kind: "help", topic: split.noun ?? topic };
  if (parsed.values.on(VERSION)) return { kind: "version" };
  const wrong = takePositionals(path, command, parsed.values, parsed.positionals);
  if (wrong !== undefined) return { kind: "wrong", message: wrong, topic };
  const format = command.outputs?.find((known) => output !== undefined && known === parsed.values.text(output)) ?? command.outputs?.[0] ?? "table";
  return { kind: "run", path, command, values: parsed.values, output: format };
}

/** The required flags of a command that were not given. */
export function missingFlags(command: Command, values: GivenFlags): (TextFlag | NumberFlag)[] {
  return (command.required ?? []).filter((flag) => !values.has(flag));
}

/** Names the ways to give a missing value: `APP or --app`. */
export function howToGive(command: Command, flag: Flag): string {
  const argument = command.arguments?.find((known) => known.flag === flag);
  return argument === undefined ? flagLabel(flag) : `${argument.label} or ${flagLabel(flag)}`;
}

function takePositionals(path: readonly string[], command: Command, values: GivenFlags, positionals: readonly string[]): string | undefined {
  const known = command.arguments ?? [];
  for (const [index, value] of positionals.entries()) {
    const argument = known[index];
    if (argument === undefined) {
      const takes = known.length === 0 ? "no argument" : known.map(({ label }) => label).join(" and ");
      return `${path.join(" ")} takes ${takes}; unexpected argument "${value}"`;
    }
    const byFlag = values.text(argument.flag);
    if (byFlag !== undefined && byFlag !== value) return `${argument.label} is given twice: "${value}" and ${flagLabel(argument.flag)} "${byFlag}"`;
    const wrong = byFlag === undefined ? values.giveValue(argument.flag, argument.label, value) : undefined;
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

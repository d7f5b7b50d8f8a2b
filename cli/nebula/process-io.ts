import { readFileSync } from "node:fs";
import { isatty } from "node:tty";
import { describeUnhandled, type UnhandledError } from "../../common/errors/unhandled-error.ts";
import { createLog } from "../../common/log/log.ts";
import { printable } from "../../common/printable.ts";
import { utf8Text } from "../../common/text/utf8.ts";
import type { NebulaCommand, NebulaIo } from "./command/command.ts";

/** The streams, environment and files of this process. */
export function processIo(): NebulaIo {
  // A log collector that disconnects must not end the server.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  return {
    env: process.env,
    readFile: (path) => utf8Text(readFileSync(path), path),
    write: (text) => void process.stdout.write(text),
    print: (line) => void process.stdout.write(`${printable(line)}\n`),
    complain: (line) => void process.stderr.write(`${printable(line)}\n`),
    terminal: process.stdout.isTTY === true,
    async openTerminal() {
      if (!isatty(0) || !isatty(2)) return undefined; // process.stdin would open the input of a daemon
      const { openTerminal } = await import("../nebulactl/io/terminal.ts");
      return openTerminal(process.stdin, process.stderr);
    },
  };
}

/**
 * Writes an unhandled error in the form of the command's other output: a log line with its stack and causes, or one
 * line of text.
 */
export function unhandledErrorReport(commands: readonly NebulaCommand[], name: string | undefined): (unhandled: UnhandledError) => void {
  const command = commands.find((known) => known.name === name);
  if (command?.kind !== "settings") return (unhandled) => void process.stderr.write(`nebula: ${printable(describeUnhandled(unhandled))}\n`);
  const log = createLog({ level: "error", format: process.env.NEBULA_LOG_FORMAT === "json" ? "json" : undefined, part: command.name });
  return ({ kind, error }) =>
    log.error({ kind, err: error instanceof Error ? error : new Error(describeUnhandled({ kind, error })) }, "unhandled error: the process ends");
}

import { readFileSync } from "node:fs";
import { printable } from "../../common/printable.ts";
import type { NebulaIo } from "./command.ts";

/** What a command reaches of this process. */
export function processIo(): NebulaIo {
  // A log collector that goes away takes no server along.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  return {
    env: process.env,
    readFile: (path) => readFileSync(path, "utf8"),
    write: (text) => void process.stdout.write(text),
    print: (line) => void process.stdout.write(`${printable(line)}\n`),
    complain: (line) => void process.stderr.write(`${printable(line)}\n`),
    terminal: process.stdout.isTTY === true,
  };
}

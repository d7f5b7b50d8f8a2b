import { homedir } from "node:os";
import { addAbortSignal } from "node:stream";
import { buffer } from "node:stream/consumers";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { utf8Text } from "../../../common/text/utf8.ts";
import type { Io } from "./io.ts";
import { openTerminal } from "./terminal.ts";

/**
 * The streams, environment and network of this process. Asks only if both standard input and standard error are a
 * terminal.
 */
export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  /** Lines that are redrawn; 0: something was written since. */
  let drawn = 0;
  const write = (stream: NodeJS.WriteStream, output: string) => {
    drawn = 0;
    stream.write(output);
  };
  return {
    env,
    home: homedir(),
    clock: systemClock,
    out: (output) => write(stdout, output),
    err: (output) => write(stderr, output),
    redraw(lines) {
      const back = drawn === 0 ? "" : `\u001b[${drawn}A`;
      stdout.write(`${back}${lines.map((line) => `\r\u001b[2K${line}\n`).join("")}\u001b[J`);
      drawn = lines.length;
    },
    outIsTerminal: stdout.isTTY === true,
    errIsTerminal: stderr.isTTY === true,
    columns: stdout.isTTY ? stdout.columns : undefined,
    readStdin,
    terminal: stdin.isTTY && stderr.isTTY ? openTerminal(stdin, stderr) : undefined,
    connect: async (login) => await (await import("../connection/transport.ts")).connectTo(login),
  };
}

async function readStdin(signal: AbortSignal): Promise<string> {
  try {
    return utf8Text(await buffer(addAbortSignal(signal, process.stdin)), "standard input");
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

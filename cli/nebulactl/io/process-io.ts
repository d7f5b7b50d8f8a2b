import { homedir } from "node:os";
import { addAbortSignal } from "node:stream";
import { buffer } from "node:stream/consumers";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { utf8Text } from "../../../common/text/utf8.ts";
import type { Io } from "./io.ts";
import { openTerminal } from "./terminal.ts";

/**
 * The streams, environment and network of this process. It can ask if both standard input and standard error are a
 * terminal.
 */
export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  return {
    env,
    home: homedir(),
    clock: systemClock,
    out: (output) => void stdout.write(output),
    err: (output) => void stderr.write(output),
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

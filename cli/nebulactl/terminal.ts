import { createInterface } from "node:readline/promises";
import type { Readable, Writable } from "node:stream";
import { PassThrough } from "node:stream";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Terminal } from "./io.ts";

/** Asks on a terminal. Questions go to `output`, which is standard error, so that what a command prints can be piped on. */
export function openTerminal(input: Readable, output: Writable): Terminal {
  return {
    ask: (question, signal) => askOn(input, output, output, question, signal),
    async askSecret(question, signal) {
      output.write(question);
      const nowhere = new PassThrough().resume();
      try {
        return await askOn(input, output, nowhere, question, signal);
      } finally {
        output.write("\n");
      }
    },
  };
}

async function askOn(input: Readable, output: Writable, echo: Writable, question: string, signal: AbortSignal): Promise<string> {
  // As a terminal, readline takes the echo over from the device: it then writes to `echo` what is typed, and nothing else does.
  const lines = createInterface({ input, output: echo, terminal: true, historySize: 0 });
  const interrupted = new AbortController();
  lines.once("SIGINT", () => interrupted.abort(new NebulaError("cancelled", "interrupted")));
  lines.once("close", () => interrupted.abort(new NebulaError("cancelled", "the input ended before an answer")));
  try {
    return await lines.question(question, { signal: AbortSignal.any([signal, interrupted.signal]) });
  } catch (error) {
    if (interrupted.signal.aborted) {
      output.write("\n");
      throw interrupted.signal.reason;
    }
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}

import { createInterface } from "node:readline/promises";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { wholeSecret } from "../../../common/text/utf8.ts";
import { Interrupted, type Terminal } from "./io.ts";

/**
 * Asks on a terminal. Questions go to `output`, which is standard error, so that the output of a command can be piped.
 */
export function openTerminal(input: Readable, output: Writable): Terminal {
  return {
    ask: (question, signal) => answerTo(question, { input, output, echo: output }, signal),
    async askSecret(question, signal) {
      const answer = await answerTo(question, { input, output, echo: new PassThrough().resume() }, signal);
      output.write("\n");
      return wholeSecret(answer, "what was typed");
    },
  };
}

type Streams = Readonly<{ input: Readable; output: Writable; echo: Writable }>;

async function answerTo(question: string, { input, output, echo }: Streams, signal: AbortSignal): Promise<string> {
  // With `terminal: true`, readline turns the echo of the device off and shows what is typed on `echo` alone. The
  // question is written after that, so that a secret typed immediately is not shown either.
  const lines = createInterface({ input, output: echo, terminal: true, historySize: 0 });
  const interrupted = new AbortController();
  lines.once("SIGINT", () => interrupted.abort(new Interrupted()));
  lines.once("close", () => interrupted.abort(new NebulaError("cancelled", "the input ended before an answer")));
  try {
    if (echo !== output) output.write(question);
    return await lines.question(echo === output ? question : "", { signal: AbortSignal.any([signal, interrupted.signal]) });
  } catch (error) {
    output.write("\n");
    interrupted.signal.throwIfAborted();
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}

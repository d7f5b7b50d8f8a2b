import { describeUnhandled, exitOnUnhandledError } from "../../common/errors/unhandled-error.ts";
import { printableLine } from "../../common/printable.ts";
import { commands } from "./commands.ts";
import { Interrupted } from "./io.ts";
import { processIo } from "./process-io.ts";
import { runNebulactl } from "./run.ts";

/** The program: runs the process's command line, and sets the exit code. */
export async function main(): Promise<void> {
  exitOnUnhandledError((unhandled) => process.stderr.write(`error: ${printableLine(describeUnhandled(unhandled))}\n`));
  // A reader that has seen enough (`nebulactl apps list | head`) closes the pipe: that is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

  // The first signal ends calls in flight and is told as an error; a second one ends the process.
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => interrupted.abort(new Interrupted()));
  }
  process.exitCode = await runNebulactl(commands, process.argv.slice(2), processIo(), interrupted.signal);
}

import { describeUnhandled, exitOnUnhandledError } from "../../common/errors/unhandled-error.ts";
import { printableLine } from "../../common/printable.ts";
import { commands } from "./commands.ts";
import { Interrupted } from "./io/io.ts";
import { processIo } from "./io/process-io.ts";
import { runNebulactl } from "./run.ts";

/** Runs the command line of this process and sets the exit code. */
export async function main(): Promise<void> {
  exitOnUnhandledError((unhandled) => process.stderr.write(`error: ${printableLine(describeUnhandled(unhandled))}\n`));
  // A reader such as `head` closes the pipe when it has read enough, which is not an error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

  // The first signal ends calls in flight and prints an error; a second one ends the process.
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => interrupted.abort(new Interrupted()));
  }
  process.exitCode = await runNebulactl(commands, process.argv.slice(2), processIo(), interrupted.signal);
}

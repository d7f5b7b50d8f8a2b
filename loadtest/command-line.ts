import { isNebulaError, NebulaError } from "../common/errors/nebula-error.ts";
import { exitOnUnhandledError } from "../common/errors/unhandled-error.ts";

/** Runs a bench from its command line: an interrupt aborts the signal, a failure is one sentence, and the exit code says that it did. */
export async function runBench(bench: (signal: AbortSignal) => Promise<void>): Promise<void> {
  exitOnUnhandledError(({ kind, error }) => console.error(`${kind}:`, error));
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => interrupted.abort(new NebulaError("cancelled", "interrupted")));
  try {
    if (process.platform !== "linux") throw new NebulaError("failed_precondition", "the bench reads /proc and pins processes: it needs Linux");
    await bench(interrupted.signal);
  } catch (error) {
    console.error(isExpected(error) ? error.message : error);
    process.exitCode = interrupted.signal.aborted ? 130 : 1;
  }
}

/** Ours, or an option that parseArgs does not know. */
function isExpected(error: unknown): error is Error {
  return isNebulaError(error) || (error instanceof TypeError && "code" in error);
}

/** An option of parseArgs that takes a number, or several, as text for wholeNumber. @param value where it is not given */
export function numberOption(value: string) {
  return { type: "string", default: value } as const;
}

/** @throws NebulaError invalid_argument for any text but a whole number above 0 */
export function wholeNumber(option: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new NebulaError("invalid_argument", `invalid --${option} "${text}": use a whole number above 0`);
}

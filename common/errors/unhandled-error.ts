import { messageOf } from "./nebula-error.ts";

/** An error that nothing handled: thrown where nothing catches, or the reason of a rejected promise that nothing awaits. */
export type UnhandledError = Readonly<{ kind: "uncaught exception" | "unhandled rejection"; error: unknown }>;

/**
 * Ends this process with exit code 1 at the first error that nothing handles. Called once, by a program's entry point.
 * Node ends such a process too, but writes a raw stack between the lines of a log, and of a rejection that is not an Error it shows the type alone.
 * @param report writes the error, synchronously; the process ends also where this throws
 */
export function exitOnUnhandledError(report: (unhandled: UnhandledError) => void): void {
  const exitAfter = (unhandled: UnhandledError) => {
    try {
      report(unhandled);
    } finally {
      process.exit(1);
    }
  };
  process.on("uncaughtException", (error, origin) => {
    exitAfter({ kind: origin === "unhandledRejection" ? "unhandled rejection" : "uncaught exception", error });
  });
  process.on("unhandledRejection", (error) => exitAfter({ kind: "unhandled rejection", error }));
}

/** The error and its causes in one line, for a person: `uncaught exception: no answer, caused by: read ECONNRESET`. */
export function describeUnhandled({ kind, error }: UnhandledError): string {
  const texts = [`${kind}: ${textOf(error)}`];
  for (let at = causeOf(error); at !== undefined && texts.length < MOST_CAUSES; at = causeOf(at)) texts.push(`caused by: ${textOf(at)}`);
  const lines = texts.join(", ").split("\n");
  return lines.map((line) => line.trim()).join(" ");
}

/** An error can be its own cause's cause. */
const MOST_CAUSES = 10;

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function textOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  return typeof error === "object" ? (JSON.stringify(error) ?? messageOf(error)) : messageOf(error);
}

import { isatty } from "node:tty";
import { type DestinationStream, type Logger, pino } from "pino";
import { printableJson } from "../printable.ts";
import { readableLine } from "./readable-line.ts";

/** A structured log: `log.info({ group }, "config pushed")`. Secrets and env values never go into it. */
export type Log = Pick<Logger, "debug" | "info" | "warn" | "error"> & { child(bindings: Record<string, unknown>): Log };

/** JSON for programs, text for people. */
export type LogFormat = "json" | "text";

export type LogOptions = {
  level: "debug" | "info" | "warn" | "error" | "silent";
  part: string;
  /** undefined: text on a terminal, else JSON. */
  format?: LogFormat | undefined;
  destination?: DestinationStream;
};

/**
 * Opens the log of one part, to standard error unless another destination is given: a JSON object a line, its level a
 * word, or a line of text. Either is safe on a terminal: no control or invisible character takes effect.
 */
export function createLog({ level, part, format, destination }: LogOptions): Log {
  const isText = (format ?? (destination === undefined && isatty(2) ? "text" : "json")) === "text";
  return pino(
    {
      level,
      formatters: { level: (word) => ({ level: word }) },
      base: { part },
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: { streamWrite: isText ? readableLine : printableJson },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}

/** A log that keeps nothing. */
export const silentLog: Log = pino({ level: "silent" });

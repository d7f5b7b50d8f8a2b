import { type DestinationStream, type Logger, pino } from "pino";
import { printableJson } from "../printable.ts";

/** A structured log: `log.info({ group }, "config pushed")`. Secrets and env values never go into it. */
export type Log = Pick<Logger, "debug" | "info" | "warn" | "error"> & { child(bindings: Record<string, unknown>): Log };

export type LogOptions = { level: "debug" | "info" | "warn" | "error" | "silent"; part: string; destination?: DestinationStream };

/** Opens the log of one part: one JSON object a line, its level a word, safe on a terminal (no control or invisible character takes effect), to standard error unless another destination is given. */
export function createLog({ level, part, destination }: LogOptions): Log {
  return pino(
    {
      level,
      formatters: { level: (word) => ({ level: word }) },
      base: { part },
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: { streamWrite: printableJson },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}

/** A log that keeps nothing. */
export const silentLog: Log = pino({ level: "silent" });

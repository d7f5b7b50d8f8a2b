import type { Clock } from "../clock/clock.ts";
import { messageOf } from "../errors/nebula-error.ts";
import type { Log } from "../log/log.ts";

export type RemoveOldParts = Readonly<{
  /** Removes some of what is older than that, milliseconds since 1970; answers how many, 0 when there are no more. */
  remove: (beforeMs: number) => Promise<number>;
  /** Age from which on something is removed, milliseconds. */
  keptMs: number;
  /** How often it is looked for, milliseconds. */
  everyMs: number;
  /** The pause between two removals while there is more to remove, milliseconds: everything else has its turn in it. */
  pauseMs: number;
  /** The removed things, in the plural, for the log. */
  what: string;
  clock: Clock;
  log: Log;
}>;

/** Removes old entries regularly until the signal is aborted; resolves then. A failed removal is retried at the next time. */
export async function removeOld({ remove, keptMs, everyMs, pauseMs, what, clock, log }: RemoveOldParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const removed = await remove(clock.now() - keptMs).catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, `old ${what} could not be removed; they are tried again`);
      return 0;
    });
    await clock.sleep(removed > 0 ? pauseMs : everyMs, signal).catch(() => {}); // the loop ends by itself when the signal is aborted
  }
}

import type { Counter } from "prom-client";
import type { Clock } from "../common/clock/clock.ts";
import { messageOf } from "../common/errors/nebula-error.ts";
import type { Log } from "../common/log/log.ts";
import type { ReportStore } from "../common/storage/report-store.ts";

/** How often old reports are looked for, milliseconds. */
const EVERY_MS = 60_000;
/** The pause between two bounded removals, milliseconds, in which everything else has its turn. */
const PAUSE_MS = 20;

export type ExpiryParts = Readonly<{
  store: Pick<ReportStore, "expire">;
  /** How long a report is kept, milliseconds. */
  ttlMs: number;
  clock: Clock;
  log: Log;
  /** Counts what was removed. */
  expired: Pick<Counter, "inc">;
}>;

/** Removes reports that are older than `ttlMs`, now and every minute, until the signal is aborted; resolves then. A store that is away is tried again a minute later. */
export async function runExpiry({ store, ttlMs, clock, log, expired }: ExpiryParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const removed = await store.expire(clock.now() - ttlMs).catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, "old reports could not be removed, trying again in a minute");
      return 0;
    });
    expired.inc(removed);
    await clock.sleep(removed > 0 ? PAUSE_MS : EVERY_MS, signal).catch(() => {}); // the loop ends by itself when the signal is aborted
  }
}

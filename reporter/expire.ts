import type { Counter } from "prom-client";
import type { Clock } from "../common/clock/clock.ts";
import type { Log } from "../common/log/log.ts";
import { removeOld } from "../common/storage/remove-old.ts";
import type { ReportStore } from "../common/storage/report-store.ts";

const EVERY_MS = 60_000;
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

/** Removes reports that are older than `ttlMs`, now and every minute, until the signal is aborted; resolves then. */
export function runExpiry({ store, ttlMs, clock, log, expired }: ExpiryParts, signal: AbortSignal): Promise<void> {
  const remove = async (beforeMs: number) => {
    const removed = await store.expire(beforeMs);
    expired.inc(removed);
    return removed;
  };
  return removeOld({ remove, keptMs: ttlMs, everyMs: EVERY_MS, pauseMs: PAUSE_MS, what: "reports", clock, log }, signal);
}

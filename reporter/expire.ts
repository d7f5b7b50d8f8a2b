import type { Counter } from "prom-client";
import type { Clock } from "../common/clock/clock.ts";
import type { Log } from "../common/log/log.ts";
import { removeOld } from "../common/storage/remove-old.ts";
import { type ReportStore, STATUS_KEPT_MS } from "../common/storage/report-store.ts";

const EVERY_MS = 60_000;
const PAUSE_MS = 20;

export type ExpiryParts = Readonly<{
  store: Pick<ReportStore, "expire" | "expireDevices" | "expirePresence">;
  /** How long a report is kept, milliseconds. */
  ttlMs: number;
  clock: Clock;
  log: Log;
  /** Count what was removed. */
  expired: Readonly<{ reports: Pick<Counter, "inc">; devices: Pick<Counter, "inc"> }>;
}>;

/**
 * Removes reports that are older than `ttlMs`, the status of devices without a token of their own after STATUS_KEPT_MS, and presence that is out of date, now and
 * every minute, until the signal is aborted; resolves then.
 */
export async function runExpiry({ store, ttlMs, clock, log, expired }: ExpiryParts, signal: AbortSignal): Promise<void> {
  const counted = (remove: (beforeMs: number) => Promise<number>, counter: Pick<Counter, "inc">) => async (beforeMs: number) => {
    const removed = await remove(beforeMs);
    counter.inc(removed);
    return removed;
  };
  const common = { everyMs: EVERY_MS, pauseMs: PAUSE_MS, clock, log };
  const reports = counted((beforeMs) => store.expire(beforeMs), expired.reports);
  const devices = counted((beforeMs) => store.expireDevices(beforeMs), expired.devices);
  await Promise.all([
    removeOld({ ...common, remove: reports, keptMs: ttlMs, what: "reports" }, signal),
    removeOld({ ...common, remove: devices, keptMs: STATUS_KEPT_MS, what: "devices" }, signal),
    removeOld({ ...common, remove: (nowMs) => store.expirePresence(nowMs), keptMs: 0, what: "presence" }, signal),
  ]);
}

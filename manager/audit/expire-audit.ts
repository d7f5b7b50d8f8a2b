import type { Clock } from "../../common/clock/clock.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { removeOld } from "../../common/storage/remove-old.ts";

/** An entry is kept at most this long beyond its time, milliseconds. */
const EVERY_MS = 10 * 60_000;
const PAUSE_MS = 50;

export type ExpireAuditParts = Readonly<{
  accessStore: Pick<AccessStore, "expireAudit">;
  /** Age from which on an entry is removed, milliseconds. */
  retentionMs: number;
  clock: Clock;
  log: Log;
}>;

/** Removes old audit entries until the signal is aborted; resolves then. */
export function expireAudit({ accessStore, retentionMs, clock, log }: ExpireAuditParts, signal: AbortSignal): Promise<void> {
  const remove = (beforeMs: number) => accessStore.expireAudit(beforeMs);
  return removeOld({ remove, keptMs: retentionMs, everyMs: EVERY_MS, pauseMs: PAUSE_MS, what: "audit entries", clock, log }, signal);
}

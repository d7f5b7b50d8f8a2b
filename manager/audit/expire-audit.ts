import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";

/** How often old entries are looked for, milliseconds: an entry is kept at most this long beyond its time. */
const EVERY_MS = 10 * 60_000;
/** The wait between two removals while there is more to remove, milliseconds: others use the store, too. */
const PAUSE_MS = 50;

export type ExpireAuditParts = Readonly<{
  accessStore: Pick<AccessStore, "expireAudit">;
  /** Age from which on an entry is removed, milliseconds. */
  retentionMs: number;
  clock: Clock;
  log: Log;
}>;

/** Removes old audit entries until the signal is aborted; resolves then. A store that can't be reached is tried again the next time. */
export async function expireAudit({ accessStore, retentionMs, clock, log }: ExpireAuditParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const removed = await accessStore.expireAudit(clock.now() - retentionMs).catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, "old audit entries could not be removed");
      return 0;
    });
    await clock.sleep(removed > 0 ? PAUSE_MS : EVERY_MS, signal).catch(() => {});
  }
}

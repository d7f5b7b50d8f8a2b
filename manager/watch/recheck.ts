import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import type { ConfigStore, EntityKey } from "../../common/storage/config-store.ts";

/** Keys per read. */
const READ = 500;

export type RecheckTarget = {
  /** A round begins. */
  begin(): void;
  /** Every distinct entity that a watched group was made from. */
  keys(): readonly EntityKey[];
  /** The store holds this revision of the entity now. */
  found(key: EntityKey, revision: bigint): void;
  /** The store could not be read. */
  failed(error: unknown): void;
};

/** One round: the revision of everything watched, from the store (W4: no cache is asked), one read however many groups and devices share an entity. */
async function recheckOnce(store: Pick<ConfigStore, "revisions">, target: RecheckTarget, signal: AbortSignal): Promise<void> {
  target.begin();
  const keys = target.keys();
  for (let from = 0; from < keys.length && !signal.aborted; from += READ) {
    const some = keys.slice(from, from + READ);
    try {
      const revisions = await store.revisions(some);
      for (const [index, key] of some.entries()) target.found(key, revisions[index] ?? 0n);
    } catch (error) {
      target.failed(error);
    }
    await turn();
  }
}

/** Repairs what the feed lost: a round every `everyMs` until the signal is aborted. */
export async function recheck(
  store: Pick<ConfigStore, "revisions">,
  target: RecheckTarget,
  { clock, everyMs, signal }: { clock: Clock; everyMs: number; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal).catch(() => {});
    if (!signal.aborted) await recheckOnce(store, target, signal);
  }
}

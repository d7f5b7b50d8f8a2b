/**
 * The recheck: rounds that compare what is watched with the store, and so repair what the feed lost.
 *
 * W4 Revisions come from the store, never from a cache: one read per entity, for any number of groups and devices that share it.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import type { ClusterIdentity, ConfigStore, EntityKey } from "../../common/storage/config-store.ts";

/** Keys per read. */
const READ = 500;

/** Least time between the beginnings of two rounds, milliseconds: a feed that breaks again and again does not keep the store busy. */
const LEAST_MS = 2000;

export type RecheckEvent = Readonly<
  /** A round begins: the store was read, and is of the cluster and epoch that it was opened with. */
  | { kind: "begun" }
  /** Revisions that the store holds now; 0 if the entity does not exist. */
  | { kind: "revisions"; found: readonly Readonly<{ key: EntityKey; revision: bigint }>[] }
  /** The store could not be read. */
  | { kind: "failed"; error: unknown }
  /** The store is of another cluster or epoch than when it was opened. This event is the last. */
  | { kind: "cluster_changed"; found: ClusterIdentity }
>;

export type RecheckOptions = Readonly<{
  store: Pick<ConfigStore, "cluster" | "readCluster" | "revisions">;
  /** Returns every distinct entity that a watched group was made from. */
  keys: () => readonly EntityKey[];
  clock: Clock;
  everyMs: number;
  requests: RecheckRequests;
  signal: AbortSignal;
}>;

/** Yields the events of the rounds: one round every `everyMs`, and one at each request, until the signal is aborted or the cluster has changed. */
export async function* recheck(options: RecheckOptions): AsyncGenerator<RecheckEvent, void, undefined> {
  const { clock, everyMs, requests, signal } = options;
  let begunAt = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    await requests.due(clock, { begunAt, everyMs, signal });
    begunAt = clock.monotonic();
    if (signal.aborted) return;
    for await (const event of round(options)) {
      yield event;
      if (event.kind === "cluster_changed") return;
    }
  }
}

async function* round({ store, keys, signal }: RecheckOptions): AsyncGenerator<RecheckEvent, void, undefined> {
  try {
    const found = await store.readCluster(signal);
    if (signal.aborted) return;
    if (found.id !== store.cluster.id || found.epoch !== store.cluster.epoch) return yield { kind: "cluster_changed", found };
  } catch (error) {
    if (!signal.aborted) yield { kind: "failed", error };
    return;
  }
  yield { kind: "begun" };
  const watched = keys();
  for (let from = 0; from < watched.length && !signal.aborted; from += READ) {
    const event = await readSome(store, watched.slice(from, from + READ), signal);
    if (event.kind === "revisions" || !signal.aborted) yield event;
    await turn();
  }
}

async function readSome(store: RecheckOptions["store"], keys: readonly EntityKey[], signal: AbortSignal): Promise<RecheckEvent> {
  try {
    const revisions = await store.revisions(keys, signal);
    return { kind: "revisions", found: keys.map((key, index) => ({ key, revision: revisions[index] ?? 0n })) };
  } catch (error) {
    return { kind: "failed", error };
  }
}

/** Requests for a round before its time. */
export class RecheckRequests {
  #asked = false;
  #wake = new AbortController();

  /** Requests a round: it begins at once, or LEAST_MS after the beginning of the one before. */
  ask(): void {
    this.#asked = true;
    this.#wake.abort();
  }

  /** Resolves when the next round is due, or the signal is aborted. */
  async due(clock: Clock, { begunAt, everyMs, signal }: { begunAt: number; everyMs: number; signal: AbortSignal }): Promise<void> {
    if (!this.#asked) await clock.sleep(everyMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
    if (!this.#asked) return;
    await clock.sleep(begunAt + LEAST_MS - clock.monotonic(), signal).catch(() => {});
    this.#asked = false;
    this.#wake = new AbortController();
  }
}

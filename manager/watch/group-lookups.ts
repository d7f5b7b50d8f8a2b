/**
 * What every watched group's devices are to be told: looked up when a group is first watched, and whenever there may be something new.
 *
 * W3 One load per group at a time; a hint during it starts another after it (load-queue.ts).
 * W4 The re-check never reads a cache (recheck.ts).
 * R3 What a group's devices are told never goes backward, whichever cache or replica answered (load-config.ts).
 * H2 After a standstill of the process longer than a lease, nothing is told before it was looked up anew.
 */
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedEvent } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import type { ConfigStore, EntityKey } from "../../common/storage/config-store.ts";
import { configSizeWarning } from "./config-size.ts";
import { EntityIndex } from "./entity-index.ts";
import type { GroupWatch } from "./group-watch.ts";
import { loadConfig } from "./load-config.ts";
import { LoadQueue } from "./load-queue.ts";
import { LoopGap } from "./loop-gap.ts";
import { recheck } from "./recheck.ts";
import type { WatchMetrics } from "./watch-metrics.ts";

export type GroupLookupsDeps = Readonly<{
  configStore: ConfigStore;
  configCache: ConfigCache;
  changeFeed: ChangeFeed;
  secretKeys: SecretKeys;
  clock: Clock;
  log: Log;
  metrics: WatchMetrics;
  cacheTimeMs: number;
}>;

/** Where the groups are. */
export type LookupTarget = {
  /** Every group that is watched now. */
  groups(): Iterable<GroupWatch>;
  /** Whether this group is still watched. */
  watched(group: GroupWatch): boolean;
  /** A group was looked up. `moved`: it may be another shard's now. `changed`: its devices are to be told something else than before. */
  found(group: GroupWatch, what: { moved: boolean; changed: boolean }): void;
};

/** Configs that are looked up at once. */
const LOADS_AT_ONCE = 8;

export class GroupLookups {
  readonly #deps: GroupLookupsDeps;
  readonly #target: LookupTarget;
  readonly #index = new EntityIndex<GroupWatch>();
  readonly #loads = new LoadQueue<GroupWatch>((group, fresh) => this.#load(group, fresh), LOADS_AT_ONCE);
  readonly #large = new Set<GroupWatch>();
  /** Groups whose last load failed: every round of the re-check tries them again. */
  readonly #failed = new Set<GroupWatch>();
  readonly #gap: LoopGap;
  readonly #subscription: Disposable;
  #standstills = 0;
  #storeDown = false;

  /** Runs until the signal is aborted. */
  constructor(deps: GroupLookupsDeps, target: LookupTarget, signal: AbortSignal) {
    this.#deps = deps;
    this.#target = target;
    this.#gap = new LoopGap(deps.clock);
    this.#subscription = deps.changeFeed.subscribe((event) => this.#onEvent(event));
    signal.addEventListener("abort", () => this.#subscription[Symbol.dispose]());
    void this.#gap.run(() => this.standstill(), signal);
    const recheckTarget = {
      begin: () => this.#retryFailed(),
      keys: () => this.#index.keys(),
      found: (key: EntityKey, revision: bigint) => this.#onRevision(key, revision),
      failed: (error: unknown) => this.#onStoreDown(error),
    };
    void recheck(deps.configStore, recheckTarget, { clock: deps.clock, everyMs: deps.cacheTimeMs, signal });
  }

  /** Has a group looked up that has no answer now. */
  want(group: GroupWatch): void {
    this.#loads.want(group, group.loaded !== undefined);
  }

  /** The group is watched no more. */
  forget(group: GroupWatch): void {
    this.#index.update(group, group.loaded?.madeFrom ?? [], []);
    this.#failed.delete(group);
    if (this.#large.delete(group)) this.#deps.metrics.oversized(this.#large.size);
  }

  /** H2: whether the process stood still just now; then nothing that is known counts. */
  standstill(): boolean {
    if (!this.#gap.crossed()) return false;
    this.#standstills++;
    this.#deps.log.warn("this process stood still for longer than a lease: every group is looked up anew");
    for (const group of this.#target.groups()) {
      group.distrust();
      this.#loads.want(group, true);
    }
    return true;
  }

  async #load(group: GroupWatch, fresh: boolean): Promise<void> {
    if (!this.#target.watched(group)) return;
    const { loaded: before, trusted } = group;
    const standstills = this.#standstills;
    try {
      const loaded = await loadConfig(this.#deps, group.name, before, fresh);
      this.standstill();
      if (!this.#target.watched(group) || this.#standstills !== standstills) return; // H2: another load follows
      group.set(loaded);
      this.#failed.delete(group);
      this.#index.update(group, before?.madeFrom ?? [], loaded.madeFrom);
      this.#noteSize(group, loaded.answer.bytes.length);
      const changed = !trusted || before?.answer.etag !== loaded.answer.etag;
      this.#deps.metrics.loaded(changed ? "changed" : "same");
      this.#target.found(group, { moved: !trusted || before?.spread !== loaded.spread, changed });
    } catch (error) {
      // what is stored can't be read with this manager's cluster key, or by its version
      this.#deps.metrics.loaded(isNebulaError(error, "failed_precondition") ? "unreadable" : "failed");
      if (!this.#target.watched(group)) return;
      if (!this.#failed.has(group))
        this.#deps.log.warn({ err: error, device_group: group.name }, "the group could not be looked up; it is tried again");
      this.#failed.add(group);
    }
  }

  #noteSize(group: GroupWatch, bytes: number): void {
    const warning = configSizeWarning(bytes);
    if (warning === undefined) this.#large.delete(group);
    else if (!this.#large.has(group)) {
      this.#large.add(group);
      this.#deps.log.warn({ device_group: group.name, bytes }, warning);
    }
    this.#deps.metrics.oversized(this.#large.size);
  }

  #onEvent(event: FeedEvent): void {
    if (event.kind !== "entity") return;
    const { entity, revision } = event;
    this.#deps.configCache.told(entity, revision);
    this.#loads.repeatRunning(); // W3: what they are made from is in the index only when they are done
    for (const group of this.#index.groupsOf(entity)) if (group.revisionOf(entity) < revision) this.#loads.want(group, true);
  }

  #onRevision(entity: EntityKey, revision: bigint): void {
    if (this.#storeDown) this.#deps.log.info("the store answers again");
    this.#storeDown = false;
    for (const group of this.#index.groupsOf(entity)) {
      if (group.revisionOf(entity) >= revision) continue;
      this.#deps.configCache.told(entity, revision);
      this.#deps.metrics.repaired();
      this.#loads.want(group, true); // W4
    }
  }

  #onStoreDown(error: unknown): void {
    if (!this.#storeDown) this.#deps.log.warn({ err: error }, "the store does not answer: devices keep what they have until it does");
    this.#storeDown = true;
  }

  #retryFailed(): void {
    for (const group of this.#failed) this.#loads.want(group, true);
  }
}

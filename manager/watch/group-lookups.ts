/**
 * What every watched group's devices are sent: loaded when a group is first watched, patched when one of its members changes, loaded again when the group does.
 *
 * W3 One load per group, and one read per member, at a time. A change that is announced during a load, and that the load did not cover, is read after it.
 * W4 The recheck never reads a cache (recheck.ts).
 * R3 What a group's devices are sent never goes backwards, whichever cache or replica answered (load-config.ts).
 * H2 After a standstill of the process longer than a lease, nothing is sent before its group was loaded whole again.
 * H4 A member is read once per announced revision, however many groups name it.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedEvent } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import type { ConfigStore, EntityKey } from "../../common/storage/config-store.ts";
import type { Member } from "./compose-config.ts";
import { configSizeWarning } from "./config-size.ts";
import { EntityIndex, keyText } from "./entity-index.ts";
import type { GroupWatch } from "./group-watch.ts";
import { cacheLoaded, type LoadedConfig, type LoadWant, mergeRead, patchMember, readConfig, readOpened } from "./load-config.ts";
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
  /** A group was loaded or patched. `moved`: it may be another shard's now. `changed`: its devices are to be sent something else than before. */
  found(group: GroupWatch, what: { moved: boolean; changed: boolean }): void;
};

/** Groups that are loaded at once, and members that are read at once. */
const LOADS_AT_ONCE = 8;
const READS_AT_ONCE = 64;
/** A load or a read that takes longer has failed: it must not keep its place from others. Milliseconds. */
const LOAD_MS = 3000;
/** Announcements that are remembered during one load; beyond that the group is loaded whole again. */
const HEARD_LIMIT = 10_000;

type MemberKey = EntityKey & { kind: "app" | "cron_job" };
type MemberWant = Readonly<{ key: MemberKey; atLeast: bigint }>;
/** Revisions that were announced while a group was being loaded, by entity. */
type Heard = Map<string, Readonly<{ key: EntityKey; revision: bigint }>>;

export class GroupLookups {
  readonly #deps: GroupLookupsDeps;
  readonly #target: LookupTarget;
  readonly #index = new EntityIndex<GroupWatch>();
  readonly #loads = new LoadQueue<GroupWatch, LoadWant>({
    load: (group, want) => this.#load(group, want),
    merge: (one, other) => ({ whole: one.whole || other.whole, atLeast: larger(one.atLeast, other.atLeast) }),
    width: LOADS_AT_ONCE,
  });
  readonly #reads = new LoadQueue<string, MemberWant>({
    load: (_, want) => this.#readMember(want),
    merge: (one, other) => ({ key: one.key, atLeast: larger(one.atLeast, other.atLeast) }),
    width: READS_AT_ONCE,
  });
  readonly #loading = new Map<GroupWatch, Heard>();
  readonly #large = new Set<GroupWatch>();
  /** Groups whose last load failed: every round of the recheck tries them again. */
  readonly #failed = new Set<GroupWatch>();
  /** Members that could not be read when they were last wanted; the recheck finds them again. */
  readonly #unread = new Set<string>();
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

  /** Has a group loaded that has no answer now. */
  want(group: GroupWatch): void {
    this.#loads.want(group, { whole: group.loaded !== undefined, atLeast: 0n });
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
    this.#deps.log.warn("this process stood still for longer than a lease: every group is loaded again");
    for (const group of this.#target.groups()) {
      group.distrust();
      this.#loads.want(group, { whole: true, atLeast: 0n });
    }
    return true;
  }

  // --- a group

  async #load(group: GroupWatch, want: LoadWant): Promise<void> {
    if (!this.#target.watched(group)) return;
    const self: EntityKey = { kind: "device_group", name: group.name };
    if (!want.whole && group.trusted && group.revisionOf(self) >= want.atLeast) return; // W3: an earlier load covered it
    const heard: Heard = new Map();
    this.#loading.set(group, heard);
    const standstills = this.#standstills;
    try {
      const composed = await this.#inTime(readConfig(this.#deps, group.name, group.loaded, want));
      this.standstill();
      if (!this.#target.watched(group) || this.#standstills !== standstills) return; // H2: another load follows
      this.#apply(group, mergeRead(group.loaded, composed)); // R3: with what is known by now
      this.#failed.delete(group);
    } catch (error) {
      this.#countFailure(error);
      if (!this.#target.watched(group)) return;
      if (!this.#failed.has(group)) this.#deps.log.warn({ err: error, device_group: group.name }, "the group could not be loaded; it is tried again");
      this.#failed.add(group);
    } finally {
      this.#loading.delete(group);
      for (const { key, revision } of heard.values()) if (this.#isBelow(group, key, revision)) this.#wantEntity(key, revision); // W3
    }
  }

  #apply(group: GroupWatch, loaded: LoadedConfig): void {
    const { loaded: before, trusted } = group;
    group.set(loaded);
    this.#index.update(group, before?.madeFrom ?? [], loaded.madeFrom);
    this.#noteSize(group, loaded.answer.bytes.length);
    const changed = !trusted || before?.answer.etag !== loaded.answer.etag;
    this.#deps.metrics.loaded(changed ? "changed" : "same");
    this.#target.found(group, { moved: !trusted || before?.spread !== loaded.spread, changed });
    void cacheLoaded(this.#deps, group.name, loaded);
  }

  // --- a member

  /** H4: reads the member once, and puts it into every group that names it, with a turn of the event loop between two. */
  async #readMember({ key, atLeast }: MemberWant): Promise<void> {
    const text = keyText(key);
    if (![...this.#index.groupsOf(key)].some((group) => this.#isBelow(group, key, atLeast))) {
      this.#unread.delete(text);
      return; // W3: an earlier read covered it
    }
    const standstills = this.#standstills;
    try {
      const member = await this.#inTime(readOpened(this.#deps, key, atLeast));
      this.#unread.delete(text);
      this.standstill();
      if (this.#standstills !== standstills) return; // H2: every group is loaded again
      await this.#patch(key, member);
    } catch (error) {
      this.#countFailure(error);
      if (!this.#unread.has(text)) this.#deps.log.warn({ err: error, [key.kind]: key.name }, "the entity could not be read; it is tried again");
      this.#unread.add(text);
    }
  }

  async #patch(key: MemberKey, member: Member): Promise<void> {
    const standstills = this.#standstills;
    for (const group of [...this.#index.groupsOf(key)]) {
      if (this.#standstills !== standstills) return;
      const { loaded } = group;
      if (loaded === undefined || !this.#target.watched(group)) continue;
      const patched = patchMember(loaded, member);
      if (patched === loaded) continue;
      this.#apply(group, patched);
      await turn();
    }
  }

  // --- what there may be to read

  #onEvent(event: FeedEvent): void {
    if (event.kind !== "entity") return;
    const { entity, revision } = event;
    this.#deps.configCache.told(entity, revision);
    for (const [group, heard] of this.#loading) {
      if (heard.size < HEARD_LIMIT)
        heard.set(keyText(entity), { key: entity, revision }); // W3
      else this.#loads.want(group, { whole: true, atLeast: 0n });
    }
    this.#wantBelow(entity, revision);
  }

  #onRevision(entity: EntityKey, revision: bigint): void {
    if (this.#storeDown) this.#deps.log.info("the store answers again");
    this.#storeDown = false;
    if (!this.#wantBelow(entity, revision)) return; // W4
    this.#deps.configCache.told(entity, revision);
    this.#deps.metrics.repaired();
  }

  /** Has the entity read where a group has an older revision of it; answers whether one has. */
  #wantBelow(key: EntityKey, revision: bigint): boolean {
    for (const group of this.#index.groupsOf(key)) {
      if (!this.#isBelow(group, key, revision)) continue;
      this.#wantEntity(key, revision);
      return true;
    }
    return false;
  }

  #wantEntity(key: EntityKey, revision: bigint): void {
    const { kind, name } = key;
    if (kind !== "device_group") this.#reads.want(keyText(key), { key: { kind, name }, atLeast: revision });
    else for (const group of this.#index.groupsOf(key)) if (group.name === name) this.#loads.want(group, { whole: false, atLeast: revision });
  }

  #isBelow(group: GroupWatch, key: EntityKey, revision: bigint): boolean {
    const known = group.revisionOf(key);
    return known >= 0n && known < revision;
  }

  // --- failures

  /** Rejects with `unavailable` after LOAD_MS: the place is free for others, even if the read never ends. */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    const over = new AbortController();
    const late = this.#deps.clock.sleep(LOAD_MS, over.signal).then(() => {
      throw new NebulaError("unavailable", `the store did not answer within ${LOAD_MS / 1000} s`);
    });
    late.catch(() => {}); // lost against the work
    try {
      return await Promise.race([work, late]);
    } finally {
      over.abort();
    }
  }

  /** `unreadable`: what is stored can't be read with this manager's cluster key, or by its version. */
  #countFailure(error: unknown): void {
    this.#deps.metrics.loaded(isNebulaError(error, "failed_precondition") ? "unreadable" : "failed");
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

  #onStoreDown(error: unknown): void {
    if (!this.#storeDown) this.#deps.log.warn({ err: error }, "the store does not answer: devices keep what they have until it does");
    this.#storeDown = true;
  }

  #retryFailed(): void {
    for (const group of this.#failed) this.#loads.want(group, { whole: true, atLeast: 0n });
  }
}

function larger(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

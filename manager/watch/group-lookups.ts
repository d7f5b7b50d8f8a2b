/**
 * The config of every watched group: loaded when a group is first watched, patched when one of its members changes, loaded again when the group does.
 *
 * W3 One load per group, and one read per member, at a time. A change that is announced during a load, and that the load did not cover, is read after it.
 * W4 The recheck never reads a cache (recheck.ts).
 * R3 The config that the devices of a group are sent never goes backwards, whichever cache or replica answered (manager/config/load-config.ts).
 * H2 After a standstill of the process longer than a lease, nothing is sent before its group was loaded whole again.
 * H4 A member is read once per announced revision, for any number of groups that name it.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedEvent } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import { LEASE_MS } from "../../common/membership/membership.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import { type ClusterIdentity, type ConfigStore, type EntityKey, keyText } from "../../common/storage/config-store.ts";
import type { Member } from "../config/group-config.ts";
import { configSizeWarning } from "../config/group-config.ts";
import { cacheLoaded, type LoadedConfig, type LoadRequest, mergeRead, patchMember, readConfig, readOpened } from "../config/load-config.ts";
import type { GroupWatch } from "./group-watch.ts";
import { LoadQueue } from "./load-queue.ts";
import { type RecheckEvent, RecheckRequests, recheck } from "./recheck.ts";
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
  /** Called once, if the store is of another cluster or epoch than when it was opened: nothing that is known here is valid. No recheck follows. */
  onClusterChanged: (found: ClusterIdentity) => void;
}>;

/** The watched groups, by name. */
export type WatchedGroups = ReadonlyMap<string, GroupWatch>;

/** Called when a group was loaded or patched. `moved`: another shard may own it now. `changed`: its devices must be sent something else than before. */
export type OnLoaded = (group: GroupWatch, what: { moved: boolean; changed: boolean }) => void;

/** Groups that are loaded at once, and members that are read at once. */
const LOADS_AT_ONCE = 8;
const READS_AT_ONCE = 64;
/** A load or a read that takes longer has failed, so that others get its place. Milliseconds. */
const LOAD_MS = 3000;
/** How often a standstill is looked for while nothing is sent, milliseconds. */
const BEAT_MS = 1000;
/** Announcements that are noted during one load; beyond that the group is loaded whole again. */
const HEARD_LIMIT = 10_000;

type MemberKey = EntityKey & { kind: "app" | "cron_job" };
type MemberRead = Readonly<{ key: MemberKey; atLeast: bigint }>;
/** Revisions that were announced while a group was being loaded, by entity. */
type Heard = Map<string, Readonly<{ key: EntityKey; revision: bigint }>>;

export class GroupLookups {
  readonly #deps: GroupLookupsDeps;
  readonly #groups: WatchedGroups;
  readonly #onLoaded: OnLoaded;
  readonly #index = new EntityIndex();
  readonly #loads = new LoadQueue<GroupWatch, LoadRequest>({
    load: (group, request) => this.#load(group, request),
    merge: (one, other) => ({ whole: one.whole || other.whole, atLeast: larger(one.atLeast, other.atLeast) }),
    width: LOADS_AT_ONCE,
  });
  readonly #reads = new LoadQueue<string, MemberRead>({
    load: (_, request) => this.#readMember(request),
    merge: (one, other) => ({ key: one.key, atLeast: larger(one.atLeast, other.atLeast) }),
    width: READS_AT_ONCE,
  });
  readonly #loading = new Map<GroupWatch, Heard>();
  readonly #large = new Set<GroupWatch>();
  /** Groups whose last load failed: every round of the recheck retries them. */
  readonly #failed = new Set<GroupWatch>();
  /** Members whose last read failed; the recheck finds them again. */
  readonly #unread = new Set<string>();
  readonly #recheckRequests = new RecheckRequests();
  readonly #signal: AbortSignal;
  /** When a standstill was looked for last, monotonic milliseconds. */
  #lookedAt: number;
  #standstills = 0;
  #storeDown = false;

  /** Runs until the signal is aborted. */
  constructor(deps: GroupLookupsDeps, groups: WatchedGroups, onLoaded: OnLoaded, signal: AbortSignal) {
    this.#deps = deps;
    this.#groups = groups;
    this.#onLoaded = onLoaded;
    this.#signal = signal;
    this.#lookedAt = deps.clock.monotonic();
    const subscription = deps.changeFeed.subscribe((event) => this.#onEvent(event));
    signal.addEventListener("abort", () => subscription[Symbol.dispose]());
    void this.#beat();
    void this.#recheck();
  }

  /** Groups, and members of groups, that are being read or wait for it. */
  get queued(): Readonly<{ groups: number; members: number }> {
    return { groups: this.#loads.length, members: this.#reads.length };
  }

  /** Enqueues the load of a group that has no answer now. */
  enqueue(group: GroupWatch): void {
    this.#loads.enqueue(group, { whole: group.loaded !== undefined, atLeast: 0n });
  }

  /** Drops a group that is not watched any more. */
  forget(group: GroupWatch): void {
    this.#index.update(group, group.loaded?.madeFrom ?? [], []);
    this.#failed.delete(group);
    if (this.#large.delete(group)) this.#deps.metrics.oversized(this.#large.size);
  }

  /**
   * H2: distrusts every group, and enqueues its load, if the process stood still (was paused, swapped out or moved) for longer than a lease since the last
   * call: other shards may own its groups now. Called before answers are sent, once for all that are sent at one time, and every second otherwise.
   * @returns monotonic milliseconds, whole
   */
  checkStandstill(): number {
    const now = this.#deps.clock.monotonic();
    const isStandstill = now - this.#lookedAt > LEASE_MS;
    this.#lookedAt = now;
    if (isStandstill) this.#distrustAll();
    return Math.trunc(now);
  }

  #distrustAll(): void {
    this.#standstills++;
    this.#deps.log.warn("this process stood still for longer than a lease: every group is loaded again");
    for (const group of this.#groups.values()) {
      group.distrust();
      this.#loads.enqueue(group, { whole: true, atLeast: 0n });
    }
  }

  async #beat(): Promise<void> {
    while (!this.#signal.aborted) {
      await this.#deps.clock.sleep(BEAT_MS, this.#signal).catch(() => {});
      this.checkStandstill();
    }
  }

  #isWatched(group: GroupWatch): boolean {
    return !this.#signal.aborted && this.#groups.get(group.name) === group;
  }

  // --- a group

  async #load(group: GroupWatch, request: LoadRequest): Promise<void> {
    if (!this.#isWatched(group)) return;
    const self: EntityKey = { kind: "device_group", name: group.name };
    if (!request.whole && group.trusted && group.revisionOf(self) >= request.atLeast) return; // W3: an earlier load covered it
    const heard: Heard = new Map();
    this.#loading.set(group, heard);
    const standstills = this.#standstills;
    try {
      const composed = await this.#inTime((signal) => readConfig(this.#deps, group.name, group.loaded, { ...request, signal }));
      this.checkStandstill();
      if (!this.#isWatched(group) || this.#standstills !== standstills) return; // H2: another load follows
      this.#apply(group, mergeRead(group.loaded, composed)); // R3: with what is known by now
      this.#failed.delete(group);
    } catch (error) {
      this.#countFailure(error);
      if (!this.#isWatched(group)) return;
      if (!this.#failed.has(group)) this.#deps.log.warn({ err: error, device_group: group.name }, "the group could not be loaded; it is tried again");
      this.#failed.add(group);
    } finally {
      this.#loading.delete(group);
      for (const { key, revision } of heard.values()) if (this.#isBelow(group, key, revision)) this.#enqueueRead(key, revision); // W3
    }
  }

  #apply(group: GroupWatch, loaded: LoadedConfig): void {
    const { loaded: before, trusted } = group;
    group.set(loaded);
    this.#index.update(group, before?.madeFrom ?? [], loaded.madeFrom);
    this.#noteSize(group, loaded.answer.bytes.length);
    const changed = !trusted || before?.answer.etag !== loaded.answer.etag;
    this.#deps.metrics.loaded(changed ? "changed" : "same");
    this.#onLoaded(group, { moved: !trusted || before?.spread !== loaded.spread, changed });
    cacheLoaded(this.#deps, group.name, loaded);
  }

  // --- a member

  /** H4: reads the member once, and patches every group that names it, with a turn of the event loop between two. */
  async #readMember({ key, atLeast }: MemberRead): Promise<void> {
    const text = keyText(key);
    if (![...this.#index.groupsOf(key)].some((group) => this.#isBelow(group, key, atLeast))) {
      this.#unread.delete(text);
      return; // W3: an earlier read covered it
    }
    const standstills = this.#standstills;
    try {
      const member = await this.#inTime((signal) => readOpened(this.#deps, key, { atLeast, signal }));
      this.#unread.delete(text);
      this.checkStandstill();
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
      if (loaded === undefined || !this.#isWatched(group)) continue;
      const patched = patchMember(loaded, member);
      if (patched === loaded) continue;
      this.#apply(group, patched);
      await turn();
    }
  }

  // --- what announces a read: the feed and the recheck

  #onEvent(event: FeedEvent): void {
    if (event.kind === "gap") this.#onGap();
    if (event.kind !== "entity") return;
    const { entity, revision } = event;
    this.#deps.configCache.invalidate(entity, revision);
    for (const [group, heard] of this.#loading) {
      if (heard.size < HEARD_LIMIT)
        heard.set(keyText(entity), { key: entity, revision }); // W3
      else this.#loads.enqueue(group, { whole: true, atLeast: 0n });
    }
    this.#enqueueBelow(entity, revision);
  }

  /** Any announcement may be lost: everything watched is rechecked at once, and groups that are being loaded are loaded again. */
  #onGap(): void {
    for (const group of this.#loading.keys()) this.#loads.enqueue(group, { whole: true, atLeast: 0n }); // W3
    this.#recheckRequests.ask();
  }

  /** Reads what the recheck finds newer in the store than it is here, until the signal is aborted. */
  async #recheck(): Promise<void> {
    const { configStore: store, clock, cacheTimeMs: everyMs } = this.#deps;
    const keys = () => this.#index.keys();
    const events = recheck({ store, keys, clock, everyMs, requests: this.#recheckRequests, signal: this.#signal });
    for await (const event of events) this.#onRecheck(event);
  }

  #onRecheck(event: RecheckEvent): void {
    switch (event.kind) {
      case "begun":
        this.#retryFailed();
        break;
      case "revisions":
        for (const { key, revision } of event.found) this.#onRevision(key, revision);
        break;
      case "failed":
        this.#onStoreDown(event.error);
        break;
      case "cluster_changed":
        this.#deps.onClusterChanged(event.found);
        break;
      default:
        assertNever(event);
    }
  }

  #onRevision(entity: EntityKey, revision: bigint): void {
    if (this.#storeDown) this.#deps.log.info("the store answers again");
    this.#storeDown = false;
    if (!this.#enqueueBelow(entity, revision)) return; // W4
    this.#deps.configCache.invalidate(entity, revision);
    this.#deps.metrics.repaired();
  }

  /** Enqueues a read of the entity if a group has an older revision of it, and returns whether one has. */
  #enqueueBelow(key: EntityKey, revision: bigint): boolean {
    for (const group of this.#index.groupsOf(key)) {
      if (!this.#isBelow(group, key, revision)) continue;
      this.#enqueueRead(key, revision);
      return true;
    }
    return false;
  }

  #enqueueRead(key: EntityKey, revision: bigint): void {
    const { kind, name } = key;
    if (kind !== "device_group") this.#reads.enqueue(keyText(key), { key: { kind, name }, atLeast: revision });
    else for (const group of this.#index.groupsOf(key)) if (group.name === name) this.#loads.enqueue(group, { whole: false, atLeast: revision });
  }

  #isBelow(group: GroupWatch, key: EntityKey, revision: bigint): boolean {
    const known = group.revisionOf(key);
    return known >= 0n && known < revision;
  }

  // --- failures

  /** Aborts the work and rejects with `unavailable` after LOAD_MS: its place is free for others, even if the read never ends. */
  async #inTime<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const [over, timeout] = [new AbortController(), new AbortController()];
    const late = this.#deps.clock.sleep(LOAD_MS, over.signal).then(() => {
      const error = new NebulaError("unavailable", `the store did not answer within ${LOAD_MS / 1000} s`);
      timeout.abort(error);
      throw error;
    });
    late.catch(() => {}); // lost against the work
    try {
      return await Promise.race([work(timeout.signal), late]);
    } finally {
      over.abort();
    }
  }

  /** `unreadable`: this manager cannot read the stored entity, because of its cluster key or its version. */
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
    for (const group of this.#failed) this.#loads.enqueue(group, { whole: true, atLeast: 0n });
  }
}

function larger(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

type Entry = { readonly key: EntityKey; readonly groups: Set<GroupWatch> };

/** The groups that were made from each entity. */
class EntityIndex {
  readonly #byKey = new Map<string, Entry>();

  /** Notes that a group is made from the entities `now`, and not from those of `before` that are missing there. */
  update(group: GroupWatch, before: readonly EntityKey[], now: readonly EntityKey[]): void {
    const kept = new Set(now.map(keyText));
    for (const key of before) if (!kept.has(keyText(key))) this.#remove(group, key);
    for (const key of now) this.#add(group, key);
  }

  groupsOf(key: EntityKey): Iterable<GroupWatch> {
    return this.#byKey.get(keyText(key))?.groups ?? [];
  }

  /** Returns every distinct entity that a group was made from. */
  keys(): readonly EntityKey[] {
    return [...this.#byKey.values()].map(({ key }) => key);
  }

  #add(group: GroupWatch, key: EntityKey): void {
    const text = keyText(key);
    const entry = this.#byKey.get(text);
    if (entry === undefined) this.#byKey.set(text, { key, groups: new Set([group]) });
    else entry.groups.add(group);
  }

  #remove(group: GroupWatch, key: EntityKey): void {
    const text = keyText(key);
    const entry = this.#byKey.get(text);
    if (entry === undefined) return;
    entry.groups.delete(group);
    if (entry.groups.size === 0) this.#byKey.delete(text);
  }
}

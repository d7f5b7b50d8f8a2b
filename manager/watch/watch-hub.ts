/**
 * Every watch of this shard, by device_group.
 *
 * W1 A stream registers before it looks at its group's config: a change between the two finds it.
 * W2 When what was last sent differs from the group's etag and nothing is in flight, the newest is sent (stream-slot.ts).
 * W3 One load per group at a time; a hint during it starts another after it (load-queue.ts).
 * W4 The re-check never reads a cache (recheck.ts).
 * R3 What a group's devices are told never goes backward, whichever cache or replica answered (load-config.ts).
 * H1 A watch is in its group, and among the devices, from open to end; both places are left in #remove alone.
 * H2 After a standstill of the process longer than a lease, nothing is told before it was looked up anew.
 * H3 A device's second watch with the same boot ends its first.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedEvent } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import type { ConfigStore, EntityKey } from "../../common/storage/config-store.ts";
import { configSizeWarning } from "./config-size.ts";
import { EntityIndex } from "./entity-index.ts";
import { FanOut } from "./fan-out.ts";
import { type GroupHub, GroupWatch } from "./group-watch.ts";
import { loadConfig } from "./load-config.ts";
import { LoadQueue } from "./load-queue.ts";
import { LoopGap } from "./loop-gap.ts";
import type { Ownership } from "./ownership.ts";
import { PacedEnds } from "./paced-ends.ts";
import { recheck } from "./recheck.ts";
import { type SilenceTimes, watchSilence } from "./silence.ts";
import { type Connection, type EndReason, StreamSlot, type Watcher } from "./stream-slot.ts";
import { redirectAnswer, type WatchAnswer } from "./watch-answer.ts";
import type { WatchCall } from "./watch-call.ts";
import type { WatchMetrics } from "./watch-metrics.ts";

export type WatchTuning = Readonly<{
  /** Streams that are written to in one turn of the event loop. */
  batch: number;
  silence: SilenceTimes;
}>;

export type WatchHubDeps = Readonly<{
  configStore: ConfigStore;
  configCache: ConfigCache;
  changeFeed: ChangeFeed;
  ownership: Ownership;
  clock: Clock;
  log: Log;
  metrics: WatchMetrics;
  cacheTimeMs: number;
  tuning: WatchTuning;
}>;

/** What a watch is opened with. */
export type OpenWatch = Readonly<{ call: WatchCall; deviceGroup: string; watcher: Watcher; etag: string; connection: Connection | undefined }>;

type Stream = StreamSlot<GroupWatch>;

/** Configs that are looked up at once. */
const LOADS_AT_ONCE = 8;
/** How long a device waits, jittered, before it asks for the shard map: the shard stops, or is not the device's any more. Milliseconds. */
const STOPPING = redirectAnswer("", 1000);
const MOVED = redirectAnswer("", 0);

export class WatchHub implements GroupHub {
  readonly #deps: WatchHubDeps;
  readonly #groups = new Map<string, GroupWatch>();
  /** By device and boot. */
  readonly #devices = new Map<string, Stream>();
  readonly #index = new EntityIndex<GroupWatch>();
  readonly #large = new Set<GroupWatch>();
  /** Groups whose last load failed: every round of the re-check tries them again. */
  readonly #failed = new Set<GroupWatch>();
  readonly #loads: LoadQueue<GroupWatch>;
  readonly #fanOut: FanOut<Stream, GroupWatch>;
  readonly #lost: PacedEnds<Stream>;
  readonly #gap: LoopGap;
  readonly #life = new AbortController();
  readonly #subscriptions: readonly Disposable[];
  #streams = 0;
  #membershipChanges = 0;
  #standstills = 0;
  #storeDown = false;
  #stopping = false;

  constructor(deps: WatchHubDeps) {
    const { clock, tuning, configStore, cacheTimeMs } = deps;
    const { signal } = this.#life;
    this.#deps = deps;
    this.#gap = new LoopGap(clock);
    this.#loads = new LoadQueue((group, fresh) => this.#load(group, fresh), LOADS_AT_ONCE);
    this.#fanOut = new FanOut(tuning.batch, (group) => deps.metrics.fannedOut((clock.monotonic() - group.changedAt) / 1000));
    this.#lost = new PacedEnds(clock, (stream) => this.#sendAway(stream), signal);
    this.#subscriptions = [deps.changeFeed.subscribe((event) => this.#onEvent(event)), deps.ownership.onChange(() => this.#onMembershipChange())];
    void this.#gap.run(() => this.standstill(), signal);
    void watchSilence(
      () => this.#allStreams(),
      (stream, why) => this.#dropConnection(stream, why),
      { clock, times: tuning.silence, signal },
    );
    void recheck(
      configStore,
      {
        begin: () => this.#retryFailed(),
        keys: () => this.#index.keys(),
        found: (key, revision) => this.#onRevision(key, revision),
        failed: (error) => this.#onStoreDown(error),
      },
      { clock, everyMs: cacheTimeMs, signal },
    );
  }

  /** Open watches. */
  get streams(): number {
    return this.#streams;
  }

  /** Watched groups. */
  get groups(): number {
    return this.#groups.size;
  }

  now(): number {
    return Math.trunc(this.#deps.clock.monotonic());
  }

  pushed(): void {
    this.#deps.metrics.pushed();
  }

  /** Takes a watch over: its device is told its group's config now and at every change, until one of the two ends it. */
  open({ call, deviceGroup, watcher, etag, connection }: OpenWatch): void {
    if (call.cancelled) return;
    if (this.#stopping) {
      call.opened(() => {});
      call.write(STOPPING, () => {});
      call.end();
      return;
    }
    const group = this.#groups.get(deviceGroup) ?? this.#addGroup(deviceGroup);
    const stream = new StreamSlot(call, group, watcher, connection, etag, this.#membershipChanges);
    this.#register(stream); // W1
    call.opened(() => this.#remove(stream, "closed"));
    if (group.answer === undefined) this.#loads.want(group, group.loaded !== undefined);
    else if (!this.#redirect(stream)) stream.advance();
  }

  /** Ends every watch: its device comes back after a while, here or elsewhere. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#life.abort();
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    let ended = 0;
    for (const stream of this.#allStreams()) {
      this.#finish(stream, "stopping", STOPPING);
      if (++ended % this.#deps.tuning.batch === 0) await turn();
    }
  }

  #addGroup(name: string): GroupWatch {
    const group = new GroupWatch(name, this);
    this.#groups.set(name, group);
    return group;
  }

  #register(stream: Stream): void {
    stream.group.streams.add(stream); // H1
    this.#streams++;
    const key = deviceKey(stream.watcher);
    if (key === undefined) return;
    const older = this.#devices.get(key);
    this.#devices.set(key, stream);
    if (older === undefined) return;
    older.fail(new NebulaError("conflict", "a newer watch of the same device and boot takes the place of this one")); // H3
    this.#remove(older, "replaced");
  }

  #remove(stream: Stream, reason: EndReason): void {
    const { group } = stream;
    if (!group.streams.delete(stream)) return; // H1: it left already
    stream.gone();
    this.#streams--;
    const key = deviceKey(stream.watcher);
    if (key !== undefined && this.#devices.get(key) === stream) this.#devices.delete(key);
    this.#deps.metrics.ended(reason);
    if (group.streams.size === 0) this.#dropGroup(group);
  }

  #dropGroup(group: GroupWatch): void {
    this.#groups.delete(group.name);
    this.#index.update(group, group.loaded?.madeFrom ?? [], []);
    this.#fanOut.forget(group);
    this.#failed.delete(group);
    if (this.#large.delete(group)) this.#deps.metrics.oversized(this.#large.size);
  }

  #finish(stream: Stream, reason: EndReason, last: WatchAnswer): void {
    stream.finish(last);
    this.#remove(stream, reason);
  }

  #dropConnection(stream: Stream, why: "silent" | "unanswered"): void {
    this.#remove(stream, why);
    stream.connection?.destroy();
  }

  *#allStreams(): Generator<Stream> {
    for (const group of this.#groups.values()) yield* group.streams;
  }

  // --- what a group's devices are told

  async #load(group: GroupWatch, fresh: boolean): Promise<void> {
    if (!this.#watched(group)) return;
    const { loaded: before, trusted } = group;
    const standstills = this.#standstills;
    try {
      const loaded = await loadConfig(this.#deps, group.name, before, fresh);
      this.standstill();
      if (!this.#watched(group) || this.#standstills !== standstills) return; // H2: another load follows
      group.set(loaded);
      this.#failed.delete(group);
      this.#index.update(group, before?.madeFrom ?? [], loaded.madeFrom);
      this.#noteSize(group, loaded.answer.bytes.length);
      if (!trusted || before?.spread !== loaded.spread) this.#dismissLost(group);
      const changed = !trusted || before?.answer.etag !== loaded.answer.etag;
      this.#deps.metrics.loaded(changed ? "changed" : "same");
      if (!changed) return;
      group.changedAt = this.#deps.clock.monotonic();
      this.#fanOut.start(group);
    } catch (error) {
      this.#deps.metrics.loaded("failed");
      if (!this.#watched(group)) return;
      if (!this.#failed.has(group))
        this.#deps.log.warn({ err: error, device_group: group.name }, "the group could not be looked up; it is tried again");
      this.#failed.add(group);
    }
  }

  #watched(group: GroupWatch): boolean {
    return !this.#stopping && this.#groups.get(group.name) === group;
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

  // --- what causes a new look

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

  /** H2: whether the process stood still just now; then nothing that is known counts. */
  standstill(): boolean {
    if (!this.#gap.crossed()) return false;
    this.#standstills++;
    this.#deps.log.warn({ groups: this.#groups.size }, "this process stood still for longer than a lease: every group is looked up anew");
    for (const group of this.#groups.values()) {
      group.distrust();
      this.#loads.want(group, true);
    }
    return true;
  }

  // --- whose the devices are

  #onMembershipChange(): void {
    this.#membershipChanges++;
    for (const group of this.#groups.values()) this.#dismissLost(group);
  }

  /** The address of the shard that should serve a watch; undefined: this one. */
  #elsewhere({ watcher, group, openedAt }: Stream): string | undefined {
    const stays = watcher.viaPart || watcher.serveHere;
    if (stays && openedAt === this.#membershipChanges) return undefined;
    const device = watcher.viaPart || watcher.deviceId === "" ? undefined : watcher.deviceId;
    return this.#deps.ownership.elsewhere(group.name, group.loaded?.spread ?? 1, device);
  }

  /** Sends a watch that has no answer yet to the shard that should serve it, if that is another. */
  #redirect(stream: Stream): boolean {
    const address = this.#elsewhere(stream);
    if (address === undefined) return false;
    this.#finish(stream, "redirected", redirectAnswer(address, 0));
    return true;
  }

  #dismissLost(group: GroupWatch): void {
    const lost = [...group.streams].filter((stream) => this.#elsewhere(stream) !== undefined);
    this.#lost.add(lost.filter((stream) => stream.greeted || !this.#redirect(stream)));
  }

  #sendAway(stream: Stream): void {
    if (!stream.ended && this.#elsewhere(stream) !== undefined) this.#finish(stream, "redirected", MOVED);
  }
}

function deviceKey({ deviceId, boot }: Watcher): string | undefined {
  return deviceId === "" ? undefined : `${deviceId}/${boot}`;
}

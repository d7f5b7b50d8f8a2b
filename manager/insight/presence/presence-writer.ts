/**
 * Writes which devices have a watch on this shard to the store, behind the watches: no login, watch or push waits for it.
 *
 * Z1 A device is open here from its first watch to its last, under the device_group of its newest one. One that returns within GRACE_MS never left: nothing is
 *    written, unless its worker has another version.
 * Z2 Each change of a device takes a larger (stream, ended) than all before, so the store keeps the newest, in any order of writes.
 * Z3 At most BATCH devices are written every EVERY_MS. The ROUND devices that wait longest are written before any other, in the order of their keys. While the
 *    store is away the newest state of each device waits, MOST_WAITING at most; beyond that a change is dropped, and counted.
 * Z4 A device that was redirected to another shard is left open here for MOVE_MS, and stays open if this shard stops meanwhile: it is online without a break if it
 *    arrives there, and else offline once this boot counts as dead.
 * Z5 Nothing is written before the boot is marked: to a reader, an open row of a boot that is not marked is one of a dead boot.
 */
import { setImmediate as turn } from "node:timers/promises";
import { type Backoff, backoffMs } from "../../../common/clock/backoff.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { messageOf } from "../../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../../common/feed/change-feed.ts";
import { MARK_MS } from "../../../common/insight/connection.ts";
import type { Log } from "../../../common/log/log.ts";
import type { PresenceRow, PresenceStore, ShardRow } from "../../../common/storage/presence-store.ts";
import type { PresenceChange } from "../../../gen/nebula/v1/device_pb.ts";
import type { PresenceMetrics } from "./presence-metrics.ts";

/** Devices that one write has at most. */
export const BATCH = 500;
/** Devices that are put in order together: a batch of them changes a few pages of the store's tables, and a batch of any devices about one page for each of them. */
export const ROUND = 4000;
const EVERY_MS = 250;
/** How long a device may be without a watch before its end is written, milliseconds. */
export const GRACE_MS = 2000;
/** The same for a device that was redirected to another shard: it waits, asks for the shards, and that shard has to write, too. */
export const MOVE_MS = 30_000;
const MOST_WAITING = 200_000;
/** The waits after a failed write, or a failed mark, milliseconds. */
const BACKOFF: Backoff = { firstMs: 500, longestMs: 5000 };

/** The device of one or more watches. */
type Entry = {
  readonly deviceId: string;
  deviceGroup: string;
  /** Of its newest watch; empty: the worker named none. */
  workerVersion: string;
  /** Open watches. */
  open: number;
  /** When the last watch closed, monotonic and by the wall clock, milliseconds; only while none is open. */
  leftAt: number;
  leftMs: number;
  /** The state to write (Z2). */
  stream: number;
  ended: boolean;
  atMs: number;
  /** The device_group and stream that are stored; undefined: nothing is. */
  stored: Readonly<{ deviceGroup: string; stream: number }> | undefined;
};

export type PresenceWriterDeps = Readonly<{
  store: Pick<PresenceStore, "savePresence" | "markShard">;
  changeFeed: Pick<ChangeFeed, "publish">;
  /** The id of this start of the shard. */
  boot: string;
  clock: Clock;
  log: Log;
  metrics: PresenceMetrics;
}>;

export class PresenceWriter {
  readonly #deps: PresenceWriterDeps;
  readonly #devices = new Map<string, Entry>();
  /** Devices without a watch, the one that was left first at the front (Z1). */
  readonly #leaving = new Set<Entry>();
  /** The same of those that were redirected to another shard (Z4). */
  readonly #moving = new Set<Entry>();
  readonly #waiting = new Set<Entry>();
  /** Those of the waiting that are written next, by device_group and device_id (Z3). */
  #round: Entry[] = [];
  readonly #stopped = new AbortController();
  #writing: Promise<unknown> = Promise.resolve();
  #streams = 0;
  #marked = false;

  constructor(deps: PresenceWriterDeps) {
    this.#deps = deps;
  }

  /** Devices with a watch. */
  get online(): number {
    return this.#devices.size - this.#leaving.size - this.#moving.size - this.#ended;
  }

  /** Devices whose newest state is not written yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  #ended = 0;

  /** Notes that a device opened a watch; `workerVersion`: as the watch names it, one text for all of one version. */
  opened(deviceGroup: string, deviceId: string, workerVersion = ""): void {
    const entry = this.#devices.get(deviceId);
    if (entry === undefined) {
      const atMs = this.#deps.clock.now();
      const state = { open: 1, leftAt: 0, leftMs: 0, stream: ++this.#streams, ended: false, atMs, stored: undefined };
      const added = { deviceId, deviceGroup, workerVersion, ...state };
      this.#devices.set(deviceId, added);
      this.#enqueue(added);
      return;
    }
    if (entry.open++ === 0 && !this.#leaving.delete(entry)) this.#moving.delete(entry);
    if (!entry.ended && entry.deviceGroup === deviceGroup && entry.workerVersion === workerVersion) return; // Z1
    if (entry.ended) this.#ended--;
    entry.stream = ++this.#streams; // Z2
    entry.ended = false;
    entry.atMs = this.#deps.clock.now();
    entry.deviceGroup = deviceGroup;
    entry.workerVersion = workerVersion;
    this.#enqueue(entry);
  }

  /** Notes that a watch of a device ended; `isMoving`: another shard is to serve the device. */
  closed(deviceId: string, isMoving = false): void {
    const entry = this.#devices.get(deviceId);
    if (entry === undefined || entry.open === 0 || --entry.open > 0) return;
    entry.leftAt = this.#deps.clock.monotonic();
    entry.leftMs = this.#deps.clock.now();
    (isMoving ? this.#moving : this.#leaving).add(entry);
  }

  /** Starts to write, under this name and address. */
  start(shard: Pick<ShardRow, "name" | "address">): void {
    this.#writing = Promise.all([this.#keepMarked(shard), this.#keepWriting()]);
  }

  /**
   * Writes the end of every device that no other shard is to serve, once the hub has ended their watches, within `withinMs`; what is not written by then is dropped:
   * readers take the boot for dead soon. Never rejects.
   */
  async stop(withinMs: number): Promise<void> {
    const { clock, log, metrics } = this.#deps;
    const limit = AbortSignal.timeout(withinMs);
    this.#stopped.abort();
    await Promise.race([this.#writing, aborted(limit)]);
    this.#endDevices(this.#leaving, clock.monotonic()); // Z4: the others stay open
    while (this.#marked && this.#waiting.size > 0 && !limit.aborted && (await this.#writeBatch(limit)) === undefined) await turn();
    if (this.#waiting.size === 0) return;
    metrics.dropped(this.#waiting.size);
    log.warn(
      { devices: this.#waiting.size },
      "the ends of watches could not be written to the store: their devices count as offline once this shard does",
    );
    this.#waiting.clear();
  }

  // --- what is written

  async #keepWriting(): Promise<void> {
    const { clock, log } = this.#deps;
    const { signal } = this.#stopped;
    for (let failures = 0; !signal.aborted; ) {
      await clock.sleep(failures === 0 ? EVERY_MS : backoffMs(BACKOFF, failures), signal).catch(() => {});
      if (signal.aborted) return;
      this.#endDevices(this.#leaving, clock.monotonic() - GRACE_MS); // Z1
      this.#endDevices(this.#moving, clock.monotonic() - MOVE_MS); // Z4
      if (!this.#marked || this.#waiting.size === 0) continue; // Z5
      const error = await this.#writeBatch(undefined);
      if (error !== undefined && failures === 0)
        log.warn({ error: messageOf(error) }, "presence could not be written to the store; it is tried again");
      if (error === undefined && failures > 0) log.info("presence is written to the store again");
      failures = error === undefined ? 0 : failures + 1;
    }
  }

  /** Writes the next devices, and announces them. Returns the error of a write that failed: they wait again. */
  async #writeBatch(signal: AbortSignal | undefined): Promise<unknown> {
    const { store, metrics } = this.#deps;
    const batch = this.#nextBatch();
    const written = batch.map((entry) => ({ entry, row: this.#rowOf(entry), left: this.#leftRow(entry) }));
    const rows = written.flatMap(({ row, left }) => (left === undefined ? [row] : [row, left]));
    try {
      await store.savePresence(rows, signal);
    } catch (error) {
      metrics.wrote("failed", batch.length);
      for (const entry of batch) this.#enqueue(entry);
      return error ?? new Error("the write failed");
    }
    metrics.wrote("ok", batch.length);
    for (const { entry, row } of written) this.#wrote(entry, row);
    this.#announce(rows);
    return undefined;
  }

  #nextBatch(): readonly Entry[] {
    if (this.#round.length === 0) this.#round = this.#waiting.values().take(ROUND).toArray().sort(byKey); // Z3
    const batch = this.#round.splice(0, BATCH);
    for (const entry of batch) this.#waiting.delete(entry);
    return batch;
  }

  #rowOf({ deviceGroup, deviceId, stream, ended, atMs, workerVersion }: Entry): PresenceRow {
    const row = { deviceGroup, deviceId, shardBoot: this.#deps.boot, stream, ended, atMs };
    return workerVersion === "" ? row : { ...row, workerVersion };
  }

  /** The end of a device in the device_group that it was in before. */
  #leftRow({ stored, deviceGroup, deviceId, atMs }: Entry): PresenceRow | undefined {
    if (stored === undefined || stored.deviceGroup === deviceGroup) return undefined;
    return { ...stored, deviceId, shardBoot: this.#deps.boot, ended: true, atMs };
  }

  #wrote(entry: Entry, { deviceGroup, stream, ended }: PresenceRow): void {
    entry.stored = { deviceGroup, stream };
    if (ended && entry.ended && entry.stream === stream) this.#forget(entry);
  }

  #announce(rows: readonly PresenceRow[]): void {
    for (const [deviceGroup, ofGroup] of Map.groupBy(rows, (row) => row.deviceGroup)) {
      this.#deps.changeFeed.publish({ kind: "status", deviceGroup, news: { changes: [], presence: ofGroup.map(changeOf) } });
    }
  }

  // --- what waits

  /** Ends those of the devices whose last watch closed at this monotonic time or before. */
  #endDevices(left: Set<Entry>, closedBy: number): void {
    for (const entry of left) {
      if (entry.leftAt > closedBy) return;
      left.delete(entry);
      entry.ended = true;
      entry.atMs = entry.leftMs;
      this.#ended++;
      this.#enqueue(entry);
    }
  }

  #enqueue(entry: Entry): void {
    if (this.#waiting.size < MOST_WAITING || this.#waiting.has(entry)) {
      this.#waiting.add(entry);
      return;
    }
    this.#deps.metrics.dropped(1); // Z3
    if (entry.ended) this.#forget(entry);
  }

  #forget(entry: Entry): void {
    if (this.#devices.get(entry.deviceId) !== entry) return;
    this.#devices.delete(entry.deviceId);
    this.#ended--;
  }

  // --- the shard

  async #keepMarked({ name, address }: Pick<ShardRow, "name" | "address">): Promise<void> {
    const { clock, store, boot, log } = this.#deps;
    const { signal } = this.#stopped;
    for (let failed = 0; !signal.aborted; ) {
      try {
        await store.markShard({ boot, name, address, seenMs: clock.now() });
        this.#marked = true;
        failed = 0;
      } catch (error) {
        if (failed++ === 0) log.warn({ error: messageOf(error) }, "this shard could not be marked as alive in the store; it is tried again");
      }
      const waitMs = failed === 0 ? MARK_MS : backoffMs(BACKOFF, failed);
      await clock.sleep(waitMs, signal).catch(() => {});
    }
  }
}

function byKey(a: Entry, b: Entry): number {
  if (a.deviceGroup !== b.deviceGroup) return a.deviceGroup < b.deviceGroup ? -1 : 1;
  return a.deviceId < b.deviceId ? -1 : 1;
}

function changeOf({ deviceId, shardBoot, stream, ended, atMs }: PresenceRow): PresenceChange {
  return { $typeName: "nebula.v1.PresenceChange", deviceId, shardBoot, stream: BigInt(stream), ended, atMs: BigInt(atMs) };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

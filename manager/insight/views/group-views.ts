import { Registry } from "prom-client";
import type { Clock } from "../../../common/clock/clock.ts";
import { isNebulaError, messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedEvent } from "../../../common/feed/change-feed.ts";
import { bootsAt, MARK_MS } from "../../../common/insight/connection.ts";
import type { Log } from "../../../common/log/log.ts";
import type { PresenceStore, ShardRow } from "../../../common/storage/presence-store.ts";
import { GroupMirror, type MirrorStore } from "./group-mirror.ts";
import type { DeviceChange, GroupView, GroupViews } from "./group-view.ts";
import { createMirrorMetrics } from "./mirror-metrics.ts";

// One mirror for each device_group that has readers, shared by all of them.
//
// V1: a mirror follows the group's announcements before it reads the store, so no change is lost between the two.
// V2: while it has readers it is read again every REREAD_MS, after a gap of the feed, and when a reader asks: a lost announcement lasts that long at most.
// V3: a read that a reader asked for begins after the reader asked.
// V4: the boots of shards are read as often as they are marked, and when a new one is announced: the devices of one that died are offline then.
// V5: it is kept for `keptMs` after its last reader; one without readers makes room for others before that.
// V6: where mirrors grow beyond their room after they were loaded, the newest views end, as many as give enough back.
// V7: whether a device that an announcement brought without a report moves here is looked up PLACE_MS later: most have reported by then.

/** How often a mirror with readers is read again, milliseconds. */
const REREAD_MS = 30_000;
/** How long a mirror is kept after its last reader, milliseconds. */
export const KEPT_MS = 60_000;
/** Memory of all mirrors, bytes; docs/limits.md names it. */
export const MOST_BYTES = 256 * 1024 * 1024;
const RETRY_MS = 30_000;
/** How soon a new boot is looked up: its shard has been marked by then. Milliseconds. */
const SOON_MS = 500;
/** V7. Milliseconds. */
const PLACE_MS = 1000;

export type GroupViewsParts = Readonly<{
  store: MirrorStore & Pick<PresenceStore, "listShards">;
  /** The boot of this shard, which lives. Empty: it is not one. */
  ownBoot?: string;
  feed: Pick<ChangeFeed, "subscribe" | "followStatus">;
  clock: Clock;
  log: Log;
  /** Memory of all mirrors, bytes; 256 MiB. */
  mostBytes?: number;
  /** How long a mirror is kept after its last reader, milliseconds; a minute. */
  keptMs?: number;
  registry?: Registry;
}>;

type Listener = (changes: readonly DeviceChange[]) => void;

/** A mirror, its readers and its reads. */
type Shared = {
  readonly mirror: GroupMirror;
  readonly listeners: Set<Listener>;
  /** Aborted when it is dropped. */
  readonly dropped: AbortController;
  /** Resolves once it is loaded. */
  loaded: Promise<void>;
  readers: number;
  /** Aborts the wait for its end, while it has no readers. */
  idle: AbortController | undefined;
  /** The read under way, which never rejects. */
  reading: Promise<unknown>;
  /** The read that begins after that. */
  next: Promise<void> | undefined;
  /** V7: whether a lookup waits for its time. */
  willPlace: boolean;
  /** When the newest read that succeeded began, monotonic milliseconds; before all time if something may be lost since. */
  readMs: number;
};

/** Creates the views of device_groups. Dispose them when the manager stops. */
export function createGroupViews(parts: GroupViewsParts): GroupViews & Disposable & Readonly<{ bytes: number; mirrors: number }> {
  const { store, feed, clock, log, ownBoot, mostBytes = MOST_BYTES, keptMs = KEPT_MS } = parts;
  const shared = new Map<string, Shared>();
  /** The views that are open and loaded, the oldest first. */
  const views = new Set<{ readonly end: (error: NebulaError) => void }>();
  const closed = new AbortController();
  let bytes = 0;
  let shards: readonly ShardRow[] = [];
  /** Whether a read of the boots waits for its time. */
  let willRead = false;
  let willRelieve = false;
  const metrics = createMirrorMetrics(parts.registry ?? new Registry(), {
    mirrors: () => shared.size,
    devices: () => [...shared.values()].reduce((sum, { mirror }) => sum + mirror.devices.size, 0),
    bytes: () => bytes,
  });

  /** V4. Those who ask while a read waits share it. */
  async function readBoots(waitMs: number): Promise<void> {
    if (willRead) return;
    willRead = true;
    try {
      await clock.sleep(waitMs, closed.signal);
      willRead = false;
      shards = await store.listShards(closed.signal);
      const boots = bootsAt(shards, clock.now(), ownBoot);
      for (const each of [...shared.values()]) await each.mirror.setBoots(boots);
    } catch (error) {
      if (!closed.signal.aborted) log.warn({ error: messageOf(error) }, "the shards that live could not be read");
    }
  }

  async function readBootsRegularly(): Promise<void> {
    try {
      for (;;) {
        await clock.sleep(MARK_MS, closed.signal);
        if (shared.size > 0) void readBoots(0);
      }
    } catch {
      // closed
    }
  }
  void readBootsRegularly();

  const subscription = feed.subscribe((event) => onEvent(event));

  function onEvent(event: FeedEvent): void {
    if (event.kind === "gap") for (const each of shared.values()) missed(each);
    if (event.kind !== "status") return;
    const each = shared.get(event.deviceGroup);
    if (each === undefined) return;
    if (event.news === undefined) {
      missed(each);
      return;
    }
    try {
      const isNewBoot = each.mirror.fold(event.news);
      if (isNewBoot) void readBoots(SOON_MS);
      if (each.mirror.hasUnplaced && !each.willPlace) void place(each);
    } catch (error) {
      log.warn({ deviceGroup: event.deviceGroup, error: messageOf(error) }, "an announcement of statuses could not be taken");
      missed(each);
    }
  }

  /** V7. A lookup that fails is made up for by the next read of the group. */
  async function place(each: Shared): Promise<void> {
    const { signal } = each.dropped;
    each.willPlace = true;
    try {
      await clock.sleep(PLACE_MS, signal);
      each.willPlace = false;
      await each.mirror.place(signal);
    } catch (error) {
      if (!signal.aborted) log.warn({ error: messageOf(error) }, "devices that may move to a device_group could not be looked up");
    }
  }

  /** Something about the group was lost (V2). */
  function missed(each: Shared): void {
    each.readMs = Number.NEGATIVE_INFINITY;
    if (each.readers > 0) rereadInBackground(each);
  }

  /** Counts memory; a group that is loaded has to find room, and one that grows is given it while others can make some. */
  function takes(amount: number, of: Shared, isLoading: boolean): void {
    of.dropped.signal.throwIfAborted(); // what a read under way still brings is not kept
    if (amount > 0) makeRoom(amount, of);
    if (amount > 0 && bytes + amount > mostBytes) {
      if (isLoading) throw noRoom(mostBytes);
      if (!willRelieve) queueMicrotask(relieve); // a mirror is not dropped in the midst of its batch
      willRelieve = true;
    }
    bytes += amount;
  }

  /** V5 */
  function makeRoom(amount: number, of?: Shared): void {
    if (bytes + amount <= mostBytes) return; // nearly always: of each device that changes
    for (const [deviceGroup, each] of shared) if (bytes + amount > mostBytes && each.readers === 0 && each !== of) drop(deviceGroup, each);
  }

  /** V6 */
  function relieve(): void {
    willRelieve = false;
    for (const view of [...views].reverse()) {
      if (bytes <= mostBytes) return;
      metrics.ended();
      view.end(noRoom(mostBytes));
      makeRoom(0);
    }
    makeRoom(0);
  }

  function share(deviceGroup: string): Shared {
    let isLoading = true;
    const listeners = new Set<Listener>();
    const mirror = new GroupMirror(
      {
        deviceGroup,
        store,
        now: () => clock.now(),
        takes: (amount) => takes(amount, each, isLoading),
        changed: (changes) => {
          for (const listener of listeners) listener(changes);
        },
        isFollowed: () => listeners.size > 0,
      },
      bootsAt(shards, clock.now(), ownBoot),
    );
    const dropped = new AbortController();
    const each: Shared = {
      mirror,
      listeners,
      dropped,
      loaded: Promise.resolve(),
      readers: 0,
      idle: undefined,
      reading: Promise.resolve(),
      next: undefined,
      willPlace: false,
      readMs: Number.NEGATIVE_INFINITY,
    };
    shared.set(deviceGroup, each);
    each.loaded = (async () => {
      const following = await feed.followStatus(deviceGroup); // V1
      dropped.signal.addEventListener("abort", () => following[Symbol.dispose](), { once: true });
      if (dropped.signal.aborted) following[Symbol.dispose]();
      dropped.signal.throwIfAborted();
      shards = await store.listShards(dropped.signal);
      await mirror.setBoots(bootsAt(shards, clock.now(), ownBoot));
      each.readMs = clock.monotonic();
      await mirror.load(dropped.signal);
      isLoading = false;
    })();
    each.reading = each.loaded.catch(() => drop(deviceGroup, each));
    each.loaded.then(
      () => rereadRegularly(each),
      () => {},
    );
    return each;
  }

  function drop(deviceGroup: string, each: Shared): void {
    if (each.dropped.signal.aborted) return;
    each.idle?.abort();
    each.dropped.abort(new NebulaError("unavailable", "the view of the device_group was closed"));
    if (shared.get(deviceGroup) === each) shared.delete(deviceGroup);
    bytes -= each.mirror.bytes;
  }

  /** V3: the read under way may have passed what the caller asks for. Callers that ask before the next one begins share it. */
  function reread(each: Shared): Promise<void> {
    if (each.next !== undefined) return each.next;
    const next = each.reading.then(() => {
      each.next = undefined;
      each.readMs = clock.monotonic();
      metrics.reread();
      const read = each.mirror.reread(each.dropped.signal);
      each.reading = read.catch(() => {
        each.readMs = Number.NEGATIVE_INFINITY;
      });
      return read;
    });
    each.next = next;
    return next;
  }

  function rereadInBackground(each: Shared): void {
    reread(each).catch((error: unknown) => {
      if (!each.dropped.signal.aborted) log.warn({ error: messageOf(error) }, "the summaries of a device_group could not be read again");
    });
  }

  async function rereadRegularly(each: Shared): Promise<void> {
    try {
      for (;;) {
        await clock.sleep(REREAD_MS, each.dropped.signal);
        if (each.readers > 0) rereadInBackground(each); // V2
      }
    } catch {
      // it was dropped
    }
  }

  function release(deviceGroup: string, each: Shared): void {
    each.readers--;
    if (each.readers > 0 || each.dropped.signal.aborted) return;
    const idle = new AbortController();
    each.idle = idle;
    clock.sleep(keptMs, idle.signal).then(
      () => drop(deviceGroup, each), // V5
      () => {},
    );
  }

  return {
    async open(deviceGroup, signal, { isNextPage = false } = {}) {
      signal.throwIfAborted();
      const known = shared.get(deviceGroup);
      const each = known ?? share(deviceGroup);
      const isLate = each.idle !== undefined && !(isNextPage && clock.monotonic() - each.readMs < REREAD_MS);
      each.idle?.abort();
      each.idle = undefined;
      each.readers++;
      const own = new Set<Listener>();
      const close = once(() => {
        for (const listener of own) each.listeners.delete(listener);
        release(deviceGroup, each);
      });
      try {
        await withSignal(isLate ? reread(each) : each.loaded, signal);
      } catch (error) {
        close();
        if (isNebulaError(error, "resource_exhausted")) metrics.refused();
        throw error;
      }
      const ended = new AbortController();
      const opened = {
        end(error: NebulaError) {
          closeOpened();
          ended.abort(error);
        },
      };
      views.add(opened);
      const closeOpened = () => {
        views.delete(opened);
        close();
      };
      return {
        deviceGroup,
        ended: ended.signal,
        devices: each.mirror.devices,
        onChange(listener) {
          const mine: Listener = (changes) => listener(changes);
          own.add(mine);
          each.listeners.add(mine);
          return {
            [Symbol.dispose]: () => {
              own.delete(mine);
              each.listeners.delete(mine);
            },
          };
        },
        reread: (until) => withSignal(reread(each), until),
        [Symbol.dispose]: closeOpened,
      } satisfies GroupView;
    },
    get bytes() {
      return bytes;
    },
    get mirrors() {
      return shared.size;
    },
    [Symbol.dispose]() {
      subscription[Symbol.dispose]();
      closed.abort(new NebulaError("unavailable", "the manager is stopping"));
      for (const [deviceGroup, each] of shared) drop(deviceGroup, each);
    },
  };
}

function noRoom(mostBytes: number): NebulaError {
  return new NebulaError(
    "resource_exhausted",
    `this shard holds the summaries of too many devices (${Math.round(mostBytes / 2 ** 20)} MiB): try again later, or on another shard`,
    { retryAfterMs: RETRY_MS },
  );
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}

/** Waits for work that others may wait for, too: the signal ends this wait alone. */
async function withSignal(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  work.catch(() => {}); // it may reject after the signal was aborted
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

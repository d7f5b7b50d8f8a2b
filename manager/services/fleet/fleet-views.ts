/**
 * All device_groups of a fleet in numbers, shared by all readers of them on a shard.
 *
 * N1 A group is followed while a reader wants it, and KEPT_MS longer. The groups that exist, or have devices, are read when the feed names a
 *    group, after a gap of the feed, and every CHECK_MS.
 * N2 The config of a group is read when the feed names the group or one of its members, after a gap, and where its revisions changed, which are looked at every
 *    CHECK_MS. Its devices are counted again then.
 * N3 The views of the groups that were counted first stay open, and their numbers follow each change, as long as these views take at most LIVE_BYTES: more room is
 *    for other readers. The others are counted again every RECOUNT_MS, and their views are open for that time alone.
 * N4 A group for whose devices the shard has no room is uncounted, and tried again after RECOUNT_MS.
 * N5 A pass that failed leaves the numbers as they are, and is tried again. Readers that wait for their first numbers get its error.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Alarm } from "../../../common/clock/alarm.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { isNebulaError, messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedEvent } from "../../../common/feed/change-feed.ts";
import type { Log } from "../../../common/log/log.ts";
import { mapLimited } from "../../../common/map-limited.ts";
import type { AccessStore } from "../../../common/storage/access-store.ts";
import { type ConfigStore, type EntityKey, keyText } from "../../../common/storage/config-store.ts";
import { readGroup } from "../../insight/drift.ts";
import { neverCame } from "../devices/count-devices.ts";
import type { FleetReader } from "../devices/fleet-reader.ts";
import { ChangesLog } from "./changes-log.ts";
import { configOf, type EntityState, entitiesOf, type FleetView, type FleetViews, type GroupConfig, isSameConfig } from "./fleet-view.ts";
import { FollowedGroup } from "./followed-group.ts";

/** N3. docs/limits.md names it. */
export const LIVE_BYTES = 128 * 1024 * 1024;
/** Milliseconds, as those below. */
const CHECK_MS = 15_000;
const RECOUNT_MS = 60_000;
const KEPT_MS = 60_000;
/** Between two passes. */
const LEAST_MS = 250;
const RETRY_MS = 1000;
/** An entry of the audit log is stored a moment after its change was announced. */
const AUDIT_LAG_MS = 2000;
/** Groups that are read, or counted, at once; and those that are counted in one pass at most. */
const AT_ONCE = 4;
const DUE = 32;
/** Revisions that are looked up at a time. */
const KEYS = 500;

export type FleetViewsParts = Readonly<{
  fleet: FleetReader;
  configStore: Pick<ConfigStore, "get" | "getMany" | "revisions">;
  accessStore: Pick<AccessStore, "listAudit" | "listDeviceTokens">;
  changeFeed: Pick<ChangeFeed, "subscribe">;
  clock: Clock;
  log: Log;
  /** Aborted when the manager stops. */
  signal: AbortSignal;
  /** N3; LIVE_BYTES. */
  liveBytes?: number;
}>;

export function createFleetViews(parts: FleetViewsParts): FleetViews {
  let fleet: Fleet | undefined;
  return {
    open(wants) {
      if (fleet === undefined || fleet.isOver) fleet = new Fleet(parts);
      return fleet.open(wants);
    },
  };
}

/** An entity that groups are, or name as a member: their names, and its newest revision as far as it was read; undefined: it never existed. */
type Named = { readonly key: EntityKey; readonly groups: Set<string>; newest: EntityState | undefined };
type Reader = { readonly wants: (deviceGroup: string) => boolean; listener: () => void };
type Waiter = Readonly<{ reader: Reader; fromPass: number; resolve: () => void; reject: (error: unknown) => void }>;

/** The groups, while there are readers. */
class Fleet {
  readonly #parts: FleetViewsParts;
  readonly #liveBytes: number;
  readonly #groups = new Map<string, FollowedGroup>();
  /** By the text of the key. */
  readonly #named = new Map<string, Named>();
  readonly #readers = new Set<Reader>();
  readonly #waiters = new Set<Waiter>();
  readonly #alarm: Alarm;
  readonly #over = new AbortController();
  readonly #subscription: Disposable;
  /** Aborts the wait for its end, while it has no readers. */
  #idle: AbortController | undefined;
  readonly #changes: ChangesLog;
  #passes = 0;
  /** Aborts the time between two passes. */
  #pace = new AbortController();
  /** When they are due, milliseconds of the monotonic clock. */
  #listAt = Number.NEGATIVE_INFINITY;
  #checkAt: number;
  #changesAt = Number.NEGATIVE_INFINITY;
  /** Until then the audit log may still get the entry of a change that was announced. */
  #lagUntil = Number.NEGATIVE_INFINITY;

  constructor(parts: FleetViewsParts) {
    this.#parts = parts;
    this.#liveBytes = parts.liveBytes ?? LIVE_BYTES;
    this.#alarm = new Alarm(parts.clock);
    this.#changes = new ChangesLog(parts);
    this.#checkAt = parts.clock.monotonic() + CHECK_MS;
    this.#subscription = parts.changeFeed.subscribe((event) => this.#onEvent(event));
    parts.signal.addEventListener("abort", this.#onStop);
    void this.#run();
  }

  readonly #onStop = () => this.#end();

  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  open(wants: Reader["wants"]): FleetView {
    this.#idle?.abort();
    this.#idle = undefined;
    const reader: Reader = { wants, listener: () => {} };
    this.#readers.add(reader);
    this.#listSoon(); // N1
    const log = this.#changes;
    return {
      groups: this.#groups,
      groupsOf: (key) => this.#named.get(keyText(key))?.groups ?? [],
      newestOf: (key) => this.#named.get(keyText(key))?.newest,
      get changes() {
        return log.changes;
      },
      get hasMoreChanges() {
        return log.hasMore;
      },
      ready: (signal) => this.#ready(reader, signal),
      onChange(listener) {
        reader.listener = listener;
        return {
          [Symbol.dispose]() {
            reader.listener = () => {};
          },
        };
      },
      [Symbol.dispose]: () => this.#close(reader),
    };
  }

  #close(reader: Reader): void {
    if (!this.#readers.delete(reader) || this.#readers.size > 0) return;
    const idle = new AbortController();
    this.#idle = idle;
    this.#parts.clock.sleep(KEPT_MS, idle.signal).then(
      () => this.#end(),
      () => {},
    );
  }

  #end(): void {
    this.#over.abort(new NebulaError("unavailable", "the fleet is not followed any more: open the stream again"));
    this.#idle?.abort();
    this.#parts.signal.removeEventListener("abort", this.#onStop);
    this.#subscription[Symbol.dispose]();
    for (const group of this.#groups.values()) group.close();
    this.#groups.clear();
  }

  #onEvent(event: FeedEvent): void {
    if (event.kind === "gap") {
      for (const group of this.#groups.values()) group.isStale = true;
      this.#listSoon();
    }
    if (event.kind !== "entity") return;
    this.#markStale(event.entity);
    if (event.entity.kind === "device_group") {
      const group = this.#groups.get(event.entity.name); // it may be one that did not exist
      if (group !== undefined) group.isStale = true;
      this.#listSoon();
    }
    this.#changesAt = Number.NEGATIVE_INFINITY;
    this.#lagUntil = this.#parts.clock.monotonic() + AUDIT_LAG_MS;
    this.#alarm.ring();
  }

  /** The configs of the groups that an entity is, or is a member of, have to be read (N2). */
  #markStale(key: EntityKey): void {
    for (const name of this.#named.get(keyText(key))?.groups ?? []) {
      const group = this.#groups.get(name);
      if (group !== undefined) group.isStale = true;
    }
  }

  #listSoon(): void {
    this.#listAt = Number.NEGATIVE_INFINITY;
    this.#alarm.ring();
  }

  #ready(reader: Reader, signal: AbortSignal): Promise<void> {
    this.#alarm.ring();
    this.#pace.abort(); // nobody waits for the time between passes
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { reader, fromPass: this.#passes + 1, resolve: () => done(resolve), reject: (error) => done(() => reject(error)) };
      const onAbort = () => waiter.reject(signal.reason);
      const done = (then: () => void) => {
        this.#waiters.delete(waiter);
        signal.removeEventListener("abort", onAbort);
        then();
      };
      this.#waiters.add(waiter);
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
    });
  }

  // --- passes, one at a time

  async #run(): Promise<void> {
    const { clock, log } = this.#parts;
    const { signal } = this.#over;
    try {
      for (;;) {
        let hasFailed = false;
        const pass = ++this.#passes;
        try {
          await this.#pass(signal);
        } catch (error) {
          signal.throwIfAborted();
          hasFailed = true;
          log.warn({ error: messageOf(error) }, "the fleet could not be counted");
          for (const waiter of [...this.#waiters]) if (waiter.fromPass <= pass) waiter.reject(error); // N5
        }
        for (const waiter of [...this.#waiters]) if (waiter.fromPass <= pass && this.#isCounted(waiter.reader)) waiter.resolve();
        if (this.#waiters.size > 0 || (!hasFailed && this.#due().length > 0)) {
          await turn();
          continue;
        }
        this.#pace = new AbortController();
        await clock.sleep(hasFailed ? RETRY_MS : LEAST_MS, AbortSignal.any([signal, this.#pace.signal])).catch(() => signal.throwIfAborted());
        await this.#alarm.wait(Math.max(0, this.#nextAt() - clock.monotonic()), signal);
      }
    } catch (error) {
      for (const waiter of [...this.#waiters]) waiter.reject(error); // it is over
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const now = this.#parts.clock.monotonic();
    if (now >= this.#listAt) {
      this.#listAt = now + CHECK_MS;
      await this.#list(signal).catch((error: unknown) => {
        this.#listAt = Number.NEGATIVE_INFINITY;
        throw error;
      });
    }
    if (now >= this.#checkAt) {
      await this.#check(signal);
      this.#checkAt = now + CHECK_MS;
    }
    const stale = [...this.#groups.values()].filter(({ isStale }) => isStale);
    await mapLimited(stale, AT_ONCE, (group) => this.#readConfig(group, signal));
    const full: FollowedGroup[] = [];
    await mapLimited(this.#due(), AT_ONCE, async (group) => {
      if (!(await this.#count(group, signal))) full.push(group);
    });
    for (const group of full) if (!(await this.#count(group, signal))) group.setUncounted(this.#parts.clock.monotonic()); // N4: alone it may have room
    if (now >= this.#changesAt || now < this.#lagUntil) {
      if (await this.#changes.read(signal)) this.#changed();
      this.#changesAt = now + CHECK_MS;
    }
  }

  #nextAt(): number {
    const now = this.#parts.clock.monotonic();
    const lag = now < this.#lagUntil ? now + RETRY_MS : Number.POSITIVE_INFINITY;
    return Math.min(this.#listAt, this.#checkAt, this.#changesAt, lag);
  }

  #isCounted({ wants }: Reader): boolean {
    for (const group of this.#groups.values()) if (group.countedAt === undefined && wants(group.deviceGroup)) return false;
    return true;
  }

  #changed(): void {
    for (const { listener } of this.#readers) listener(); // they pace themselves
  }

  /** N1 */
  async #list(signal: AbortSignal): Promise<void> {
    const { fleet, clock } = this.#parts;
    const names = new Set<string>();
    for await (const name of fleet.allGroups("", signal)) names.add(name);
    const now = clock.monotonic();
    const isWanted = (name: string) => [...this.#readers].some(({ wants }) => wants(name));
    for (const name of names) if (!this.#groups.has(name) && isWanted(name)) this.#groups.set(name, new FollowedGroup(name, () => this.#changed()));
    for (const [name, group] of this.#groups) {
      if (isWanted(name)) group.wantedAt = now;
      if (names.has(name) && now - group.wantedAt < KEPT_MS) continue;
      group.close();
      this.#groups.delete(name);
      this.#rename(group, undefined);
      this.#changed();
    }
  }

  /** N2 */
  async #check(signal: AbortSignal): Promise<void> {
    for (const group of this.#groups.values()) if (group.config === undefined) group.isStale = true;
    const known = [...this.#named.values()];
    for (let start = 0; start < known.length; start += KEYS) {
      const part = known.slice(start, start + KEYS);
      const keys = part.map(({ key }) => key);
      const revisions = await this.#parts.configStore.revisions(keys, signal);
      for (const [index, { key, newest }] of part.entries()) if (revisions[index] !== (newest?.revision ?? 0n)) this.#markStale(key);
    }
  }

  /** N2 */
  async #readConfig(group: FollowedGroup, signal: AbortSignal): Promise<void> {
    await turn(); // a store in this process answers without one
    group.isStale = false; // what is announced from now on is read again
    const stored = await readGroup(this.#parts.configStore, group.deviceGroup, signal).catch((error: unknown) => {
      group.isStale = true;
      throw error;
    });
    const config = stored && configOf(stored);
    if (group.isRead && isSameConfig(config, group.config)) return;
    this.#rename(group, config);
    await group.setConfig(config, signal);
  }

  /** Notes which entities a group is made of, those that it names and that never existed included. */
  #rename({ deviceGroup, config: before }: FollowedGroup, after: GroupConfig | undefined): void {
    for (const key of before?.keys ?? []) {
      const named = this.#named.get(keyText(key));
      named?.groups.delete(deviceGroup);
      if (named?.groups.size === 0) this.#named.delete(keyText(key));
    }
    const entities = new Map(entitiesOf(after).map((entity) => [keyText(entity), entity]));
    for (const key of after?.keys ?? []) {
      const text = keyText(key);
      const named = this.#named.get(text) ?? { key, groups: new Set(), newest: undefined };
      const entity = entities.get(text);
      if (entity !== undefined && entity.revision > (named.newest?.revision ?? 0n)) {
        this.#markStale(key); // the others that name it
        named.newest = entity;
      }
      named.groups.add(deviceGroup);
      this.#named.set(text, named);
    }
  }

  /** The groups that are to be counted next, a few of them: those that were not counted yet, then those that were counted the longest ago (N3). */
  #due(): FollowedGroup[] {
    const since = this.#parts.clock.monotonic() - RECOUNT_MS;
    const due = [...this.#groups.values()].filter(({ isRead, countedAt }) => isRead && (countedAt ?? Number.NEGATIVE_INFINITY) <= since);
    return due.sort((a, b) => (a.countedAt ?? Number.NEGATIVE_INFINITY) - (b.countedAt ?? Number.NEGATIVE_INFINITY)).slice(0, DUE);
  }

  /** Answers whether there was room for its devices. */
  async #count(group: FollowedGroup, signal: AbortSignal): Promise<boolean> {
    const { fleet, accessStore, clock } = this.#parts;
    await turn();
    const readNeverCame = () => group.setNeverCame((view) => neverCame(accessStore, view, signal));
    if (group.isLive) {
      await readNeverCame();
      group.countedAt = clock.monotonic();
      return true;
    }
    try {
      await group.follow(await fleet.open(group.deviceGroup, signal, { isNextPage: true }), signal);
      await readNeverCame();
    } catch (error) {
      group.close();
      if (isNebulaError(error, "resource_exhausted")) return false;
      throw error;
    }
    group.countedAt = clock.monotonic();
    let bytes = 0;
    for (const each of this.#groups.values()) if (each.isLive) bytes += each.standing?.bytes ?? 0;
    if (bytes > this.#liveBytes || signal.aborted) group.close(); // N3
    return true;
  }
}

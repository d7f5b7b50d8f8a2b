import type { StatusNews } from "../../../common/feed/change-feed.ts";
import { type Boots, connectionOf, decidingRow } from "../../../common/insight/connection.ts";
import type { PresenceRow, PresenceStore } from "../../../common/storage/presence-store.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { ConnectionState, type DeviceConnection, type DeviceSummary } from "../../../gen/nebula/v1/device_pb.ts";
import { GroupPresence } from "./group-presence.ts";
import type { DeviceChange, DeviceInGroup } from "./group-view.ts";
import { lookInTurns, pagesInTurns, slicesInTurns } from "./in-turns.ts";
import { lastGroups } from "./without-moving.ts";

// The devices of one device_group, as the store has them.
//
// M1: of two words on a device the one with the larger version (written_at) counts, across boots too; a deletion, and a move to another group, is a word with a
//     version. So announcements may come late, twice and in any order.
// M2: a re-read makes the mirror equal to what the store held meanwhile, with any announcements lost: it goes through the versions of the whole group, reads
//     the summaries of those that differ, and removes devices that the store does not have. Announcements since it began are newer than a page that
//     it read before: of those the larger version counts. Watches are not read again where the store says that none was written in the group since, and
//     none was announced.
// M3: a device that was removed keeps its version until a re-read that began later is done, so that a late word does not bring it back.
// M4: a device without a summary is in the group while a watch of it is open there; one whose watches ended stays until a read finds that another group has it.
// M5: whether such a device moves here (DeviceInGroup) is looked up with each read of the group; of one that an announcement brought, by `place`.

/** Devices of a page, each of which is one turn of the event loop: of versions and watches, and of summaries, which take several times as long. */
const PAGE = 500;
const PAGE_OF_SUMMARIES = 250;
/** Devices of which one thing is looked up in one turn. */
const LOOKED_AT = 10_000;
/** Removed devices whose versions are kept; a late word on one that is forgotten stands until the next re-read. */
const MOST_REMOVED = 20_000;
/**
 * Memory of a device in a mirror, bytes: measured for what `readSummary` makes, in the maps of a mirror, with texts of usual lengths and the watches of two
 * boots of shards; with the watch of one it takes 300 less.
 */
const DEVICE_BYTES = 1000;
const TARGET_BYTES = 200;

export type MirrorStore = Pick<ReportStore, "listSummaries" | "listVersions" | "summaries" | "statuses"> &
  Pick<PresenceStore, "listPresence" | "presenceOf" | "presenceMark">;

export type GroupMirrorParts = Readonly<{
  deviceGroup: string;
  store: MirrorStore;
  /** Wall clock, milliseconds since 1970. */
  now: () => number;
  /** Called with the bytes that a change takes more, or gives back. Throws when a page that is loaded has no room. */
  takes: (bytes: number) => void;
  /** Called after entries changed, if somebody follows. */
  changed: (changes: readonly DeviceChange[]) => void;
  isFollowed: () => boolean;
}>;

export class GroupMirror {
  readonly devices = new Map<string, DeviceInGroup>();
  readonly #parts: GroupMirrorParts;
  /** M3 */
  readonly #removed = new Map<string, bigint>();
  readonly #presence: GroupPresence;
  /** Devices of workers of the original, which time alone takes offline. */
  readonly #original = new Set<string>();
  /** M5 */
  readonly #moving = new Set<string>();
  /** M5: devices without a summary that were not looked up. */
  readonly #unplaced = new Set<string>();
  #boots: Boots;
  /** M2: devices that a word was taken on since the read under way began. */
  #touched: Set<string> | undefined;
  /** Devices with a summary. */
  #reported = 0;
  #bytes = 0;

  /** @param boots the boots of shards as of now */
  constructor(parts: GroupMirrorParts, boots: Boots) {
    this.#parts = parts;
    this.#presence = new GroupPresence(parts.deviceGroup);
    this.#boots = boots;
  }

  /** Memory of its devices, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether `place` has something to do. */
  get hasUnplaced(): boolean {
    return this.#unplaced.size > 0;
  }

  /** Looks up whether the devices move here that announcements brought without a summary (M5). Rejects as the store does. */
  async place(signal: AbortSignal): Promise<void> {
    const ids = [...this.#unplaced];
    await this.#findMoving(ids, signal);
    this.#batch((note) => {
      for (const deviceId of ids) this.#reconnect(deviceId, note);
    });
    for (const deviceId of ids) if (!this.devices.has(deviceId)) this.#moving.delete(deviceId);
  }

  /** Takes an announcement; answers whether it names a boot that is not known yet. */
  fold({ changes, presence }: StatusNews): boolean {
    this.#batch((note) => {
      for (const { deviceId, writtenAt, summary } of changes) {
        const known = this.devices.get(deviceId);
        if (writtenAt <= this.#versionOf(deviceId, known)) continue; // M1
        this.#touched?.add(deviceId);
        if (summary === undefined) this.#remove(deviceId, known, writtenAt, note);
        else this.#put(summary, known, note);
      }
      for (const deviceId of this.#presence.fold(presence)) this.#reconnect(deviceId, note);
    });
    return presence.some(({ ended, shardBoot }) => !ended && !this.#boots.has(shardBoot));
  }

  /** Takes the boots of shards as of now: the watches of one that died are over. */
  async setBoots(boots: Boots): Promise<void> {
    const changed = livesText(boots) !== livesText(this.#boots);
    this.#boots = boots;
    const open = changed ? [...this.devices.keys(), ...this.#presence.devices()] : [...this.#original];
    for await (const deviceIds of slicesInTurns(open)) {
      this.#batch((note) => {
        for (const deviceId of deviceIds) this.#reconnect(deviceId, note);
      });
    }
  }

  /** Reads the whole group. One read at a time. Rejects as the store does. */
  async load(signal: AbortSignal): Promise<void> {
    const { store, deviceGroup } = this.#parts;
    const watches = await this.#readPresence(signal);
    await this.#reading(async (present) => {
      for await (const items of pagesInTurns((after) => store.listSummaries(deviceGroup, { limit: PAGE_OF_SUMMARIES, ...after }, signal))) {
        for (const { deviceId } of items) present.push(deviceId);
        this.#batch((note) => {
          for (const summary of items) this.#foldRead(summary, note);
        });
      }
    });
    await this.#placeUnreported(watches, signal);
  }

  /** M2. One read at a time. Rejects as the store does. */
  async reread(signal: AbortSignal): Promise<void> {
    const { store, deviceGroup } = this.#parts;
    const watches = await this.#readPresence(signal);
    const find = this.#finder();
    await this.#reading(async (present) => {
      for await (const items of pagesInTurns((after) => store.listVersions(deviceGroup, { limit: PAGE, ...after }, signal))) {
        const differ: string[] = [];
        for (const { deviceId, writtenAt } of items) {
          if (find(deviceId)?.summary?.writtenAt === writtenAt) present.push(deviceId);
          else differ.push(deviceId);
        }
        for (let start = 0; start < differ.length; start += PAGE_OF_SUMMARIES) {
          const found = await store.summaries(deviceGroup, differ.slice(start, start + PAGE_OF_SUMMARIES), signal);
          present.push(...found.keys());
          this.#batch((note) => {
            for (const summary of found.values()) this.#foldRead(summary, note);
          });
        }
      }
    });
    await this.#placeUnreported(watches, signal);
  }

  /** Finds devices that are asked for in about the order in which the mirror has them: a step of an iterator takes half as long as a look into a large map. */
  #finder(): (deviceId: string) => DeviceInGroup | undefined {
    const inOrder = this.devices.values();
    let next = inOrder.next().value;
    return (deviceId) => {
      while (next !== undefined && next.deviceId < deviceId) next = inOrder.next().value;
      if (next?.deviceId !== deviceId) return this.devices.get(deviceId);
      const found = next;
      next = inOrder.next().value;
      return found;
    };
  }

  /** Runs a read that notes the devices which the store has, then removes the others. */
  async #reading(read: (present: string[]) => Promise<void>): Promise<void> {
    const found: string[] = [];
    const touched = new Set<string>();
    const removedBefore = [...this.#removed.keys()];
    const reportedBefore = this.#reported;
    this.#touched = touched;
    try {
      await read(found);
    } finally {
      this.#touched = undefined;
    }
    // a mirror that had no summary before has those that were found, or announced meanwhile
    const mayHaveOthers = reportedBefore > 0 && (touched.size > 0 || found.length !== this.#reported);
    if (mayHaveOthers) this.#removeOthers(new Set(found), touched);
    for (const deviceId of removedBefore) if (!touched.has(deviceId)) this.#removed.delete(deviceId); // M3
  }

  /** Removes devices that a read did not find, unless a word was taken on them meanwhile. */
  #removeOthers(present: ReadonlySet<string>, touched: ReadonlySet<string>): void {
    this.#batch((note) => {
      for (const [deviceId, known] of this.devices) {
        if (known.summary === undefined || present.has(deviceId) || touched.has(deviceId)) continue;
        this.#remove(deviceId, known, known.summary.writtenAt, note);
      }
    });
  }

  /** Reads the watches of the group, unless none was written since (M2), before its summaries: a device that is loaded has its connection at once. Answers them. */
  async #readPresence(signal: AbortSignal): Promise<readonly PresenceRow[]> {
    const { store, deviceGroup } = this.#parts;
    const mark = store.presenceMark?.(deviceGroup);
    const known = this.#presence.foundAt(mark);
    if (known !== undefined) return known;
    this.#presence.begin(mark);
    try {
      const pages = pagesInTurns((after) => store.listPresence(deviceGroup, { limit: PAGE, ...after }, signal));
      for await (const items of pages) this.#presence.take(items);
    } catch (error) {
      this.#presence.cancel();
      throw error;
    }
    const { found, changed } = this.#presence.end();
    for await (const deviceIds of slicesInTurns(changed)) {
      this.#batch((note) => {
        for (const deviceId of deviceIds) if (this.devices.has(deviceId)) this.#reconnect(deviceId, note);
      });
    }
    return found;
  }

  /** Takes the devices that are watched and have no summary here, unless another group has them (M4). @param watches those that the store had */
  async #placeUnreported(watches: readonly PresenceRow[], signal: AbortSignal): Promise<void> {
    const { store, deviceGroup } = this.#parts;
    const silent = new Set<string>();
    const look = (deviceId: string) => {
      if (this.devices.get(deviceId)?.summary === undefined) silent.add(deviceId);
    };
    if (this.#reported < this.devices.size) await lookInTurns(this.devices.keys(), look, signal, LOOKED_AT);
    await lookInTurns(this.#presence.devices(), look, signal, LOOKED_AT);
    if (silent.size === 0) return;
    const unreported = watches.filter(({ deviceId }) => silent.has(deviceId));
    const ids = [...new Set(unreported.map(({ deviceId }) => deviceId))];
    const elsewhere = new Set<string>();
    for (let start = 0; start < ids.length; start += PAGE) {
      const rows = await store.presenceOf(ids.slice(start, start + PAGE), signal);
      for (const [deviceId, of] of rows) if (decidingRow(of, this.#boots)?.deviceGroup !== deviceGroup) elsewhere.add(deviceId);
    }
    const here = ids.filter((deviceId) => !elsewhere.has(deviceId));
    await this.#findMoving(here, signal);
    this.#presence.remove(unreported.filter(({ deviceId }) => elsewhere.has(deviceId)));
    this.#batch((note) => {
      for (const deviceId of silent) {
        const known = this.devices.get(deviceId);
        if (known?.summary !== undefined) this.#reconnect(deviceId, note);
        // one whose watches ended is here as long as the store has them, and one that is read for the first time is found so
        else this.#set(deviceId, known, undefined, this.#presence.of(deviceId).length > 0, note);
      }
    });
    for (const deviceId of here) this.#unplaced.delete(deviceId);
  }

  /** Notes which of these devices move here (M5). */
  async #findMoving(deviceIds: readonly string[], signal: AbortSignal): Promise<void> {
    const { store, deviceGroup } = this.#parts;
    const lastIn = await lastGroups(store, deviceIds, signal);
    for (const deviceId of deviceIds) {
      this.#unplaced.delete(deviceId);
      if ((lastIn.get(deviceId) ?? deviceGroup) === deviceGroup) this.#moving.delete(deviceId);
      else this.#moving.add(deviceId);
    }
  }

  /** M2: the store counts, except against a larger version that was announced meanwhile. */
  #foldRead(summary: DeviceSummary, note: Note): void {
    const { deviceId, writtenAt } = summary;
    const known = this.devices.get(deviceId);
    if (known?.summary?.writtenAt === writtenAt) return;
    if (this.#touched?.has(deviceId) === true && writtenAt <= this.#versionOf(deviceId, known)) return;
    this.#put(summary, known, note);
  }

  #versionOf(deviceId: string, known: DeviceInGroup | undefined): bigint {
    return known?.summary?.writtenAt ?? this.#removed.get(deviceId) ?? -1n;
  }

  /** @param known the entry of the device */
  #put(summary: DeviceSummary, known: DeviceInGroup | undefined, note: Note): void {
    const { deviceId } = summary;
    if (known?.summary === undefined) this.#removed.delete(deviceId);
    // a watch that is open is not closed by a report; only a worker of the original is online by its report
    const isWatched = known?.connection.state === ConnectionState.ONLINE && known.summary?.original !== true && !summary.original;
    // of nearly all devices that report: nothing but the summary changes
    if (isWatched && known.summary !== undefined && known.moves !== true) {
      const after: DeviceInGroup = { deviceId, summary, connection: known.connection };
      this.#count(memoryOf(after) - memoryOf(known));
      this.devices.set(deviceId, after);
      note(known, after);
    } else this.#set(deviceId, known, summary, true, note, isWatched ? known.connection : undefined);
  }

  /** The summary of a device is gone; the device stays while a watch of it is open (M4). */
  #remove(deviceId: string, known: DeviceInGroup | undefined, writtenAt: bigint, note: Note): void {
    this.#removed.delete(deviceId);
    this.#removed.set(deviceId, writtenAt);
    if (this.#removed.size > MOST_REMOVED) this.#removed.delete(this.#removed.keys().next().value ?? "");
    this.#set(deviceId, known, undefined, false, note);
  }

  /** The watches of a device, or the life of their shards, changed. */
  #reconnect(deviceId: string, note: Note): void {
    const known = this.devices.get(deviceId);
    this.#set(deviceId, known, known?.summary, known !== undefined, note);
  }

  /**
   * @param stays whether a device without a summary stays though no watch of it is open
   * @param kept its connection, where that cannot have changed
   */
  #set(
    deviceId: string,
    before: DeviceInGroup | undefined,
    summary: DeviceSummary | undefined,
    stays: boolean,
    note: Note,
    kept?: DeviceConnection,
  ): void {
    const report = summary && { receivedMs: Number(summary.receivedAtMs), original: summary.original };
    const connection = kept ?? connectionOf(this.#presence.of(deviceId), report, this.#boots, this.#parts.now());
    const isIn = summary !== undefined || stays || connection.state === ConnectionState.ONLINE;
    if (summary !== undefined || (before !== undefined && !isIn)) this.#moving.delete(deviceId);
    const moves = this.#moving.has(deviceId);
    const inGroup: DeviceInGroup = moves ? { deviceId, summary, connection, moves: true } : { deviceId, summary, connection };
    const after = isIn ? inGroup : undefined;
    if (before === undefined && after === undefined) return;
    if (before !== undefined && after !== undefined && isSame(before, after)) return;
    if (!isIn || summary !== undefined) this.#unplaced.delete(deviceId);
    else if (before === undefined || before.summary !== undefined) this.#unplaced.add(deviceId);
    this.#count((after === undefined ? 0 : memoryOf(after)) - (before === undefined ? 0 : memoryOf(before)));
    this.#reported += (after?.summary === undefined ? 0 : 1) - (before?.summary === undefined ? 0 : 1);
    if (after === undefined) this.devices.delete(deviceId);
    else this.devices.set(deviceId, after);
    if (summary?.original === true) this.#original.add(deviceId);
    else this.#original.delete(deviceId);
    note(before, after);
  }

  #count(bytes: number): void {
    this.#parts.takes(bytes);
    this.#bytes += bytes;
  }

  /** Announces what changed once, each device as it was before and as it is after all of it. */
  #batch(work: (note: Note) => void): void {
    if (!this.#parts.isFollowed()) {
      work(() => {});
      return;
    }
    const changes = new Map<string, DeviceChange>();
    work((before, after) => {
      const deviceId = (before ?? after)?.deviceId ?? "";
      const earlier = changes.get(deviceId);
      changes.set(deviceId, { before: earlier === undefined ? before : earlier.before, after });
    });
    if (changes.size > 0) this.#parts.changed([...changes.values()]);
  }
}

function isSame(one: DeviceInGroup, other: DeviceInGroup): boolean {
  return one.summary === other.summary && one.moves === other.moves && isSameConnection(one.connection, other.connection);
}

function isSameConnection(one: DeviceConnection, other: DeviceConnection): boolean {
  if (one === other) return true;
  if (one.state !== other.state || one.shard !== other.shard) return false;
  return one.since?.seconds === other.since?.seconds && one.since?.nanos === other.since?.nanos;
}

type Note = (before: DeviceInGroup | undefined, after: DeviceInGroup | undefined) => void;

function livesText(boots: Boots): string {
  return [...boots].map(([boot, { lives }]) => `${boot} ${lives}`).join();
}

/** Bytes that a device takes in a mirror, about. */
export function memoryOf({ summary }: DeviceInGroup): number {
  return DEVICE_BYTES + (summary?.targets.length ?? 0) * TARGET_BYTES + (summary?.problems.length ?? 0) * 64;
}

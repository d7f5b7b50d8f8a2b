/**
 * Whether a device is connected, from its rows of presence and the marks of the shards.
 *
 * N1 Of the rows of one boot the one with the larger (stream, ended) counts, whichever device_group it is of.
 * N2 A boot lives while its newest mark is younger than LIVE_MS and no later start of the same shard was seen.
 * N3 A device is online while a row is open on a boot that lives; otherwise it is offline since the latest of its ends and of the last marks of its dead boots.
 */
import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { ConnectionState, type DeviceConnection, DeviceConnectionSchema } from "../../gen/nebula/v1/device_pb.ts";
import { type PresenceRow, presenceVersion, type ShardRow } from "../storage/presence-store.ts";

/** How often a shard marks that it lives, milliseconds. */
export const MARK_MS = 10_000;
/** How old the newest mark of a boot that lives may be, milliseconds: two marks may be lost, and clocks differ by a few seconds. */
export const LIVE_MS = 3 * MARK_MS + 5000;
/** A worker of the original has no watch: it is online while its newest report is younger than this, milliseconds. */
export const ORIGINAL_ONLINE_MS = 180_000;
/** How long a boot must be dead before rows of it are removed, milliseconds: a shard that was only paused, or cut off from the store, is back by then. */
const REMOVED_AFTER_MS = 3_600_000;

/** The known state of a boot at one time. */
type Boot = Readonly<{ name: string; seenMs: number; lives: boolean }>;

/** The boots that are kept, by boot. One that is absent is dead. */
export type Boots = ReadonlyMap<string, Boot>;

/** The known state of a device beside its presence: its newest report, undefined if it never reported. */
export type NewestReport = Readonly<{ receivedMs: number /** Whether it is of a worker of the original. */; original: boolean }>;

/** Reads the marks of the shards at a time (N2). @param own the boot of the shard that asks, which lives; undefined: it is not a shard */
export function bootsAt(shards: readonly ShardRow[], nowMs: number, own?: string): Boots {
  const newest = new Map<string, ShardRow>();
  for (const shard of shards) {
    const other = newest.get(shard.name);
    if (other === undefined || isLater(shard, other, own)) newest.set(shard.name, shard);
  }
  return new Map(
    shards.map((shard) => {
      const { boot, name, seenMs } = shard;
      return [boot, { name, seenMs, lives: boot === own || (newest.get(name) === shard && nowMs - seenMs < LIVE_MS) }];
    }),
  );
}

function isLater(one: ShardRow, other: ShardRow, own: string | undefined): boolean {
  if (one.boot === own || other.boot === own) return one.boot === own;
  return one.seenMs === other.seenMs ? one.boot > other.boot : one.seenMs > other.seenMs;
}

/** Returns the connection of a device. Without any row: offline since its newest report, or nothing where it never reported. */
export function connectionOf(rows: readonly PresenceRow[], report: NewestReport | undefined, boots: Boots, nowMs: number): DeviceConnection {
  const row = decidingRow(rows, boots);
  const boot = row && boots.get(row.shardBoot);
  const isOnline = row !== undefined && isOpen(row, boots);
  if (!isOnline && report?.original === true && nowMs - report.receivedMs < ORIGINAL_ONLINE_MS)
    return connection(ConnectionState.ONLINE, undefined, "");
  if (row === undefined) return report === undefined ? create(DeviceConnectionSchema) : connection(ConnectionState.OFFLINE, report.receivedMs, "");
  if (isOnline) return connection(ConnectionState.ONLINE, row.atMs, boot?.name ?? "");
  const lastKnown = boot === undefined && !row.ended ? (report?.receivedMs ?? 0) : 0; // it has reported since it connected
  return connection(ConnectionState.OFFLINE, Math.max(timeOf(row, boots), lastKnown), boot?.name ?? "");
}

/** Returns the row that says whether a device is connected, and in which device_group it is (N3); undefined if it never connected. */
export function decidingRow(rows: readonly PresenceRow[], boots: Boots): PresenceRow | undefined {
  if (rows.length < 2) return rows[0]; // of nearly all devices
  let deciding: PresenceRow | undefined;
  for (const row of newestByBoot(rows).values()) if (deciding === undefined || decides(row, deciding, boots)) deciding = row;
  return deciding;
}

/** Returns the rows of a device that say nothing any more: a newer row of their boot, or another boot, does. */
export function supersededRows(rows: readonly PresenceRow[], boots: Boots, nowMs: number): readonly PresenceRow[] {
  const [newest, deciding] = [newestByBoot(rows), decidingRow(rows, boots)];
  return rows.filter((row) => {
    if (row === deciding) return false;
    if (newest.get(row.shardBoot) !== row) return true;
    const boot = boots.get(row.shardBoot);
    return boot === undefined || (!boot.lives && nowMs - boot.seenMs > REMOVED_AFTER_MS);
  });
}

/** N1 */
function newestByBoot(rows: readonly PresenceRow[]): ReadonlyMap<string, PresenceRow> {
  const newest = new Map<string, PresenceRow>();
  for (const row of rows) {
    const other = newest.get(row.shardBoot);
    if (other === undefined || presenceVersion(row) > presenceVersion(other)) newest.set(row.shardBoot, row);
  }
  return newest;
}

/** Whether of two rows of different boots the first decides: open before not, then the later one, then by boot. */
function decides(row: PresenceRow, other: PresenceRow, boots: Boots): boolean {
  const [open, otherOpen] = [isOpen(row, boots), isOpen(other, boots)];
  if (open !== otherOpen) return open;
  const [time, otherTime] = open ? [row.atMs, other.atMs] : [timeOf(row, boots), timeOf(other, boots)];
  return time === otherTime ? row.shardBoot > other.shardBoot : time > otherTime;
}

function isOpen({ ended, shardBoot }: PresenceRow, boots: Boots): boolean {
  return !ended && boots.get(shardBoot)?.lives === true;
}

/** When a watch that is not open any more ended, as far as it is known. */
function timeOf({ ended, atMs, shardBoot }: PresenceRow, boots: Boots): number {
  return ended ? atMs : Math.max(atMs, boots.get(shardBoot)?.seenMs ?? 0);
}

function connection(state: ConnectionState, sinceMs: number | undefined, shard: string): DeviceConnection {
  // several times faster than by their schemas
  if (sinceMs === undefined) return { $typeName: "nebula.v1.DeviceConnection", state, shard };
  const seconds = Math.floor(sinceMs / 1000);
  const since: Timestamp = { $typeName: "google.protobuf.Timestamp", seconds: BigInt(seconds), nanos: (sinceMs - seconds * 1000) * 1_000_000 };
  return { $typeName: "nebula.v1.DeviceConnection", state, since, shard };
}

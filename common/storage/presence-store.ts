import type { Page, PageRequest } from "./page.ts";

/**
 * The watch of a device on one start of a shard (its boot), under one device_group: a register. Of two writes the one with the larger (stream, ended) wins, so a
 * write may come late, twice and in any order.
 */
export type PresenceRow = Readonly<{
  deviceGroup: string;
  deviceId: string;
  shardBoot: string;
  /** Rises with every watch that the boot opens; below 2^52. */
  stream: number;
  /** Whether the last watch of the device on this boot ended. */
  ended: boolean;
  /** When it opened or ended, by the shard's clock, milliseconds since 1970. */
  atMs: number;
  /** The version that the worker named when it opened its watch. Absent: none. */
  workerVersion?: string;
}>;

/** One start of a shard. */
export type ShardRow = Readonly<{
  /** Its id, drawn at the start. */
  boot: string;
  /** Two shards that live at a time never share a name; a later start of a shard has the name of the one before. */
  name: string;
  /** Host and port that workers dial. */
  address: string;
  /** When it wrote last that it lives, by its own clock, milliseconds since 1970. */
  seenMs: number;
}>;

/** How long the last end of a device's watch is kept, milliseconds: a fleet may ask which devices have been offline for a year. */
export const PRESENCE_KEPT_MS = 400 * 86_400_000;
/** How long a boot that does not live any more is kept, milliseconds. An open row of a boot that is not kept is one of a dead boot. */
export const SHARD_KEPT_MS = 35 * 86_400_000;

/**
 * The devices that have a watch open, and where. Each method rejects with `unavailable` when the store does not answer, and with the signal's reason
 * once that is aborted.
 */
export interface PresenceStore {
  /** Writes rows, at most 1000; reads nothing first. A call that was cut anywhere may be repeated as it is. */
  savePresence(rows: readonly PresenceRow[], signal?: AbortSignal): Promise<void>;
  /** The rows of a device_group by device_id and boot. Those of one device may be on two pages. */
  listPresence(deviceGroup: string, page: PageRequest, signal?: AbortSignal): Promise<Page<PresenceRow>>;
  /**
   * A text that stays the same only while nobody writes or removes a row of the device_group, so that a reader that has all of its rows need not read them
   * again. It may change without a write. Only a store in this process has it. Throws `unavailable` when the store does not answer.
   */
  presenceMark?(deviceGroup: string): string;
  /** The rows of these devices, in all device_groups, by device_id. A device without any is absent. */
  presenceOf(deviceIds: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, readonly PresenceRow[]>>;
  /** Removes rows, at most 1000, unless what is stored has a larger (stream, ended). Whether a later write of what was removed brings it back is not promised. */
  deletePresence(rows: readonly PresenceRow[], signal?: AbortSignal): Promise<void>;
  /** Writes that a shard lives; an earlier `seenMs` than the stored one changes nothing. */
  markShard(shard: ShardRow, signal?: AbortSignal): Promise<void>;
  /** Every boot that is kept, by boot. */
  listShards(signal?: AbortSignal): Promise<readonly ShardRow[]>;
  /**
   * Removes rows that are older than PRESENCE_KEPT_MS, those that are open on a living boot left out, and boots older than SHARD_KEPT_MS, a bounded number of
   * each per call; answers how many. A call looks at a bounded number of rows, those after the rows of the call before. A store with a TTL of its own answers 0.
   */
  expirePresence(nowMs: number, signal?: AbortSignal): Promise<number>;
}

/** The number by which two writes of one row are compared. */
export function presenceVersion({ stream, ended }: Pick<PresenceRow, "stream" | "ended">): number {
  return stream * 2 + (ended ? 1 : 0);
}

/** The stream and its end in the number that `presenceVersion` made of them. */
export function readPresenceVersion(version: number): Pick<PresenceRow, "stream" | "ended"> {
  return { stream: Math.floor(version / 2), ended: version % 2 === 1 };
}

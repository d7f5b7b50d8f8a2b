import type { AppEntry, CronJobEntry } from "../../gen/nebula/v1/config_pb.ts";
import type { ClusterIdentity } from "../storage/config-store.ts";

/** The newest that was seen of one device_group. */
export type GroupState = Readonly<{
  /** The highest revision seen of the group: members and order come from it. */
  groupRevision: bigint;
  pruneId: bigint;
  memberApps: readonly string[];
  memberCronJobs: readonly string[];
}>;

/** The newest revision of every entity that a device (or a shard) ever saw in one cluster (R3, R4). */
export type MergedState = GroupState &
  Readonly<{
    cluster: ClusterIdentity;
    /** The group whose members these are. */
    deviceGroup: string;
    /** By name, the last OTHER_GROUPS groups that the device was in before, in that order: it may come back to one, and then not to an older state of it. */
    otherGroups: ReadonlyMap<string, GroupState>;
    /** The members of the group by name, tombstones included. */
    apps: ReadonlyMap<string, AppEntry>;
    cronJobs: ReadonlyMap<string, CronJobEntry>;
    /** Names that were seen, but are not members of the group: what they were is forgotten, except for their highest revision. */
    left: Readonly<{ apps: LeftNames; cronJobs: LeftNames }>;
  }>;

/** The highest revision seen by name, the name that left first at the beginning; at most LEFT_NAMES. */
export type LeftNames = ReadonlyMap<string, bigint>;

export const LEFT_NAMES = 4096;
export const OTHER_GROUPS = 4;

/** The last entries of a map, at most `most`. */
export function newest<V>(entries: ReadonlyMap<string, V>, most: number): ReadonlyMap<string, V> {
  return entries.size <= most ? entries : new Map([...entries].slice(-most));
}

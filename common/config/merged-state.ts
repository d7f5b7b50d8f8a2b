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
    /** By name, the groups that the device was in before: it may come back to one, and then not to an older state of it. */
    otherGroups: ReadonlyMap<string, GroupState>;
    /** By name, tombstones and names that left the group included. */
    apps: ReadonlyMap<string, AppEntry>;
    cronJobs: ReadonlyMap<string, CronJobEntry>;
  }>;

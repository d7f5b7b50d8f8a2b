import type { AppEntry, CronJobEntry } from "../../gen/nebula/v1/config_pb.ts";
import type { ClusterIdentity } from "../storage/config-store.ts";

/** The newest revision of every entity that a device (or a shard) ever saw in one cluster (R3, R4). */
export type MergedState = Readonly<{
  cluster: ClusterIdentity;
  /** The group whose members these are. */
  deviceGroup: string;
  /** The highest revision seen of that group: members and order come from it. */
  groupRevision: bigint;
  pruneId: bigint;
  memberApps: readonly string[];
  memberCronJobs: readonly string[];
  /** By name, tombstones and names that left the group included. */
  apps: ReadonlyMap<string, AppEntry>;
  cronJobs: ReadonlyMap<string, CronJobEntry>;
}>;

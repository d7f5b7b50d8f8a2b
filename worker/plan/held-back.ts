import type { Cause } from "../../common/desired/desired.ts";
import type { ClusterIdentity } from "../../common/storage/config-store.ts";
import { FailureCode } from "../../gen/nebula/v1/report_pb.ts";
import type { Classified, Owned } from "../observed/owned.ts";
import type { DeviceProblem } from "./states.ts";
import type { View } from "./view.ts";

/** Names that a message lists; the others are counted. */
const MOST_NAMED = 5;

/** Returns the relation of a cluster to another: revisions say something about each other only where the clusters are the same. */
export function compareClusters(a: ClusterIdentity, b: ClusterIdentity): "same" | "newer_epoch" | "older_epoch" | "other" {
  if (a.id !== b.id) return "other";
  if (a.epoch === b.epoch) return "same";
  return a.epoch > b.epoch ? "newer_epoch" : "older_epoch";
}

/**
 * The problem `foreign_cluster`: containers of this instance are left alone, because this data folder never followed
 * the cluster that made them. One message for all clusters, with the setting that takes them over.
 */
export function foreignClusterProblems({ foreignCluster }: Pick<Classified, "foreignCluster">): readonly DeviceProblem[] {
  if (foreignCluster.length === 0) return [];
  const names = foreignCluster.map(({ container }) => container.name).sort();
  const listed = names.slice(0, MOST_NAMED).join(", ");
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  const ids = [...new Set(foreignCluster.map(({ clusterId }) => clusterId).filter((id) => id !== undefined))].sort();
  const setting = ids.slice(0, MOST_NAMED).join(",");
  const way = ids.length === 0 ? "remove them by hand" : `to take them over, start the worker with NEBULA_TAKE_OVER=${setting}`;
  const whose = ids.length === 0 ? "name no cluster" : `are of cluster ${ids.slice(0, MOST_NAMED).join(", ")}, which this data folder never followed`;
  return [{ code: "foreign_cluster", message: `containers ${listed}${more} ${whose}, and are left alone; ${way}` }];
}

/**
 * Why an entry is not acted upon: a container of it was made for a newer revision of the same cluster (the worker's file was lost or is old), and no
 * container is taken back to an older spec. undefined: there is no such container.
 */
export function heldBack({ revision }: { revision: bigint }, containers: readonly Owned[], cluster: ClusterIdentity): Cause | undefined {
  const newer = containers.find(
    (owned) => owned.cluster !== undefined && compareClusters(owned.cluster, cluster) === "same" && owned.revision > revision,
  );
  if (newer === undefined) return undefined;
  const reason = `the config has revision ${revision}, older than ${newer.revision} that container ${newer.container.name} was made for; it is left as it is until a newer config comes`;
  return { code: FailureCode.HELD_BACK, reason };
}

/** Why nothing at all is done now. */
export function standstillOf(view: View): { problem: DeviceProblem; wakeAt: number | undefined } | undefined {
  const { quietUntil } = view.memory;
  if (view.now.monotonic < quietUntil) {
    const message = `another worker of instance ${view.identity.instance} makes containers on this engine; stop one of them, or give it an instance of its own`;
    return { problem: { code: "second_worker", message }, wakeAt: quietUntil };
  }
  const newer = view.owned.find(({ cluster }) => cluster !== undefined && compareClusters(cluster, view.desired.cluster) === "newer_epoch");
  if (newer === undefined) return undefined;
  const message = `the config is of epoch ${view.desired.cluster.epoch}, older than ${newer.cluster?.epoch} that container ${newer.container.name} was made for; it is ignored`;
  return { problem: { code: "older_epoch", message }, wakeAt: undefined };
}

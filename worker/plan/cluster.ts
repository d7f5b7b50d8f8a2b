import type { ClusterIdentity } from "../../common/storage/config-store.ts";
import type { Classified } from "../owned.ts";
import type { DeviceProblem } from "./states.ts";

/** What a cluster is to another: revisions say something about each other only where they are the same. */
export function compareClusters(a: ClusterIdentity, b: ClusterIdentity): "same" | "newer_epoch" | "older_epoch" | "other" {
  if (a.id !== b.id) return "other";
  if (a.epoch === b.epoch) return "same";
  return a.epoch > b.epoch ? "newer_epoch" : "older_epoch";
}

/** Names that a message lists; the others are counted. */
const MOST_NAMED = 5;

/**
 * The problem `foreign_cluster`: containers of this instance are left alone, because this data folder never followed the cluster that made them.
 * One message for all clusters, with the setting that takes them over.
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

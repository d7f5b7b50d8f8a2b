import type { ClusterIdentity } from "../../common/storage/config-store.ts";

/** What a cluster is to another: revisions say something about each other only where they are the same. */
export function compareClusters(a: ClusterIdentity, b: ClusterIdentity): "same" | "newer_epoch" | "older_epoch" | "other" {
  if (a.id !== b.id) return "other";
  if (a.epoch === b.epoch) return "same";
  return a.epoch > b.epoch ? "newer_epoch" : "older_epoch";
}

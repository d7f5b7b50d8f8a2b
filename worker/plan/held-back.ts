import type { ClusterIdentity } from "../../common/storage/config-store.ts";
import type { Owned } from "../owned.ts";
import { compareClusters } from "./cluster.ts";

/**
 * Why an entry is not acted upon: a container of it was made for a newer revision of the same cluster (the worker's file was lost or is old), and no
 * container is taken back to an older spec. undefined: there is no such container.
 */
export function heldBack({ revision }: { revision: bigint }, containers: readonly Owned[], cluster: ClusterIdentity): string | undefined {
  const newer = containers.find(
    (owned) => owned.cluster !== undefined && compareClusters(owned.cluster, cluster) === "same" && owned.revision > revision,
  );
  if (newer === undefined) return undefined;
  return `the config has revision ${revision}, older than ${newer.revision} that container ${newer.container.name} was made for; it is left as it is until a newer config comes`;
}

import { isKnownSpecLabel } from "../../common/desired/spec-hash.ts";
import type { ClusterIdentity } from "../../common/storage/config-store.ts";
import type { ContainerPhase, ObservedContainer } from "../runtime/container-runtime.ts";
import { bigintOfLabel, clusterOfLabel, LABEL, numberOfLabel, ORCHESTRATOR } from "./labels.ts";
import { dueOfName, indexOfName, MAIN_INSTANCE } from "./names.ts";

/** A container that this worker may act on, with what its labels say. */
export type Owned = OwnedAppContainer | OwnedCronContainer;

/** A container of an app; `index` is undefined if it is not known. */
export type OwnedAppContainer = OwnedCommon & Readonly<{ kind: "app"; app: string; index: number | undefined }>;

export type OwnedCronContainer = OwnedCommon &
  Readonly<{
    kind: "cron_job";
    cronJob: string;
    /** When its run was due, milliseconds since 1970; undefined if that is not known. */
    due: number | undefined;
  }>;

type OwnedCommon = Readonly<{
  container: ObservedContainer;
  /** Made by the original: without our labels. */
  original: boolean;
  /** `nebula.spec`, or the spec that it was adopted with. */
  specLabel: string | undefined;
  cluster: ClusterIdentity | undefined;
  revision: bigint;
  boot: string | undefined;
  restartCount: bigint;
  /** Made from the image on the device after a failed pull. */
  isStale: boolean;
}>;

export type Classified = Readonly<{
  owned: readonly Owned[];
  /** Never touched: other people's, another instance's, another cluster's, and the worker's own. */
  foreign: readonly ObservedContainer[];
  /** Those of the foreign ones that are of this instance, and of a cluster that this data folder never followed. */
  foreignCluster: readonly OfForeignCluster[];
  /** The container that this worker runs in; also among the foreign ones. */
  self: ObservedContainer | undefined;
}>;

/** `clusterId`: undefined if its label is missing or malformed. */
export type OfForeignCluster = Readonly<{ container: ObservedContainer; clusterId: string | undefined }>;

type Identity = Readonly<{ instance: string; adopt: boolean; followed: ReadonlySet<string> }>;

/**
 * Tells whose each container is. Identity comes from labels, never from a name.
 * @param adopted the specs that containers are known to have, by container id
 */
export function classify(
  containers: readonly ObservedContainer[],
  identity: Identity,
  ownContainerId: string | undefined,
  adopted: ReadonlyMap<string, string>,
): Classified {
  const owned: Owned[] = [];
  const foreign: ObservedContainer[] = [];
  const foreignCluster: OfForeignCluster[] = [];
  const self = containers.find(({ id }) => id === ownContainerId);
  for (const container of containers) {
    const mine = container === self ? undefined : ofInstance(container, identity, adopted.get(container.id));
    const clusterId = mine?.cluster?.id;
    if (mine === undefined) foreign.push(container);
    else if (mine.original || (clusterId !== undefined && identity.followed.has(clusterId))) owned.push(mine);
    else {
      foreign.push(container);
      foreignCluster.push({ container, clusterId });
    }
  }
  return { owned, foreign, foreignCluster, self };
}

/** A container of this instance or of the original; its cluster is not looked at. */
function ofInstance(container: ObservedContainer, { instance, adopt }: Identity, adoptedSpec: string | undefined): Owned | undefined {
  const { labels, name } = container;
  if (labels[LABEL.orchestrator] !== ORCHESTRATOR || !namesUnit(labels)) return undefined;
  const label = labels[LABEL.instance];
  const original = label === undefined;
  if (original ? !adopt || instance !== MAIN_INSTANCE : label !== instance) return undefined;
  const common: OwnedCommon = {
    container,
    original,
    // A label by a function of a newer worker says nothing to this one: what it was taken over with does.
    specLabel: isKnownSpecLabel(labels[LABEL.spec]) ? labels[LABEL.spec] : (adoptedSpec ?? labels[LABEL.spec]),
    cluster: clusterOfLabel(labels[LABEL.cluster]),
    revision: bigintOfLabel(labels[LABEL.revision]),
    boot: labels[LABEL.boot],
    restartCount: bigintOfLabel(labels[LABEL.restart]),
    isStale: labels[LABEL.stale] === "1",
  };
  if (labels[LABEL.containerType] === "cron_job") {
    const seconds = numberOfLabel(labels[LABEL.due]);
    return { ...common, kind: "cron_job", cronJob: labels[LABEL.cronJobName] ?? "", due: seconds === undefined ? dueOfName(name) : seconds * 1000 };
  }
  const index = original ? indexOfName(name) : numberOfLabel(labels[LABEL.index]);
  return { ...common, kind: "app", app: labels[LABEL.appName] ?? "", index };
}

/** Whether labels say which app or cron_job a container is of; `orchestrator=nebula` alone makes no container owned. */
function namesUnit(labels: ObservedContainer["labels"]): boolean {
  const name = { app: labels[LABEL.appName], cron_job: labels[LABEL.cronJobName] };
  const type = labels[LABEL.containerType];
  return (type === "app" || type === "cron_job") && (name[type] ?? "") !== "";
}

/** Whether a container in this phase holds its host ports, and is or will be running by itself. */
export function isUp(phase: ContainerPhase): boolean {
  return phase === "running" || phase === "restarting" || phase === "paused";
}

/** The key of an app or cron_job in steps, failures and pulls. */
export function appUnit(app: string): string {
  return `app ${app}`;
}

export function cronJobUnit(cronJob: string): string {
  return `cron_job ${cronJob}`;
}

import type { ClusterIdentity } from "../common/storage/config-store.ts";
import { bigintOfLabel, clusterOfLabel, LABEL, numberOfLabel, ORCHESTRATOR } from "./labels.ts";
import { dueOfName, indexOfName, MAIN_INSTANCE } from "./names.ts";
import type { ContainerPhase, ObservedContainer } from "./runtime/container-runtime.ts";
import { isKnownSpecLabel } from "./spec-hash.ts";

/** A container that this worker may act on, with what its labels say. */
export type Owned = OwnedAppContainer | OwnedCronContainer;

export type OwnedAppContainer = OwnedCommon & Readonly<{ kind: "app"; app: string /** undefined: can't be told. */; index: number | undefined }>;

export type OwnedCronContainer = OwnedCommon &
  Readonly<{
    kind: "cron_job";
    cronJob: string /** When its run was due, milliseconds since 1970; undefined: can't be told. */;
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
  /** Never touched: other people's, another instance's, and the worker's own. */
  foreign: readonly ObservedContainer[];
  /** The container that this worker runs in; also among the foreign ones. */
  self: ObservedContainer | undefined;
}>;

type Identity = Readonly<{ instance: string; adopt: boolean }>;

/**
 * Tells whose each container is. Identity comes from labels, never from a name.
 * @param adopted the specs under which containers of the original were taken over, by container id
 */
export function classify(
  containers: readonly ObservedContainer[],
  { instance, adopt }: Identity,
  ownContainerId: string | undefined,
  adopted: ReadonlyMap<string, string>,
): Classified {
  const owned: Owned[] = [];
  const foreign: ObservedContainer[] = [];
  const self = containers.find(({ id }) => id === ownContainerId);
  for (const container of containers) {
    const mine = container === self ? undefined : ownedOf(container, { instance, adopt }, adopted.get(container.id));
    if (mine === undefined) foreign.push(container);
    else owned.push(mine);
  }
  return { owned, foreign, self };
}

function ownedOf(container: ObservedContainer, { instance, adopt }: Identity, adoptedSpec: string | undefined): Owned | undefined {
  const { labels, name } = container;
  if (labels[LABEL.orchestrator] !== ORCHESTRATOR) return undefined;
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

/** Whether a container in this phase holds its host ports, and is or will be running by itself. */
export function isUp(phase: ContainerPhase): boolean {
  return phase === "running" || phase === "restarting" || phase === "paused";
}

/** The key of an app or cron_job wherever both are told apart: steps, failures, pulls. */
export function appUnit(app: string): string {
  return `app ${app}`;
}

export function cronJobUnit(cronJob: string): string {
  return `cron_job ${cronJob}`;
}

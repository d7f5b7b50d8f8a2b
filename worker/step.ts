import type { ErrorKind } from "../common/errors/nebula-error.ts";
import type { ClusterIdentity } from "../common/storage/config-store.ts";
import type { PulledImage } from "./memory.ts";
import type { PullWanter } from "./model.ts";
import type { CreateRequest, HostPort } from "./runtime/container-runtime.ts";

/**
 * One thing to do, for `unit`. `key` names what failed in the memory of failures. Steps of one lane run in order, up to the first that fails; no
 * lane waits for another. Where none is given, a container or unit is its own lane.
 */
export type Step = Readonly<{ unit: string; key: string; lane?: string }> &
  (
    | Readonly<{ kind: "create_network"; network: string }>
    | Readonly<{ kind: "remove_network"; networkId: string }>
    | Readonly<{ kind: "create"; request: CreateRequest }>
    | Readonly<{ kind: "connect"; containerId: string /** Its id. */; network: string }>
    /** `isExchange`: an old container was stopped for it, and is started again if it fails. */
    | Readonly<{ kind: "start"; containerId: string; ports: readonly HostPort[]; isExchange: boolean }>
    | Readonly<{ kind: "rename"; containerId: string; name: string }>
    | Readonly<{ kind: "remove"; containerId: string; force: boolean }>
    | Readonly<{ kind: "unpause"; containerId: string }>
    | Readonly<{ kind: "inspect"; containerId: string }>
    /** Jobs of their own: their lane goes on without waiting for their end. */
    | Readonly<{ kind: "stop"; containerId: string; graceSeconds: number }>
    | Readonly<{ kind: "restart"; containerId: string; graceSeconds: number }>
    | Readonly<{ kind: "pull"; image: string; wanters: readonly PullWanter[] /** Ids of the images on the device. */; present: ReadonlySet<string> }>
    /** Another set of units waits for a pull that is under way. */
    | Readonly<{ kind: "join_pull"; image: string; wanters: readonly PullWanter[] }>
    | Readonly<{ kind: "abort_pull"; image: string }>
    | Readonly<{ kind: "remove_image"; imageId: string; image: string }>
    /** Of the memory alone: nothing is asked of the engine. */
    | Readonly<{ kind: "adopt"; containerId: string; spec: string }>
    | Readonly<{ kind: "run_failed"; cronJob: string; due: number; reason: string }>
    /** A unit left the config long ago: what is remembered of its pulls and images. */
    | Readonly<{ kind: "forget_unit"; heirs: readonly Heir[] }>
    | Readonly<{ kind: "prune_done"; cluster: ClusterIdentity; deviceGroup: string; pruneId: bigint }>
  );

/** A unit that uses an image which was pulled for another one. */
export type Heir = Readonly<{ unit: string; image: PulledImage }>;

/** What the engine is asked for, in the order of its lane. */
export type LaneStep = Exclude<Step, { kind: "pull" | "join_pull" | "abort_pull" | "adopt" | "run_failed" | "forget_unit" | "prune_done" }>;

/** Whether a step is of the memory alone: nothing is asked of the engine. */
export function isDoneAtOnce({ kind }: Step): boolean {
  return kind === "adopt" || kind === "run_failed" || kind === "forget_unit" || kind === "prune_done";
}

export function laneOf(step: Step): string {
  return step.lane ?? ("containerId" in step ? `container ${step.containerId}` : step.unit);
}

/** How a step ended. */
export type StepOutcome = Readonly<
  | { kind: "done" /** The container that a create made. */; created?: string | undefined }
  | { kind: "failed"; reason: string; errorKind?: ErrorKind }
  | { kind: "aborted" }
>;

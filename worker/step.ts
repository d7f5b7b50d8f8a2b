import type { ClusterIdentity } from "../common/storage/config-store.ts";
import type { HostPort } from "./memory.ts";
import type { PullWanter } from "./model.ts";
import type { CreateRequest } from "./runtime/container-runtime.ts";

/**
 * One thing to do. `unit` names whose step it is: steps of one unit run in order, and one that fails ends that unit's round.
 * `key` names what failed in the memory of failures.
 */
export type Step = Readonly<{ unit: string; key: string }> &
  (
    | Readonly<{ kind: "create_network"; network: string }>
    | Readonly<{ kind: "create"; request: CreateRequest }>
    | Readonly<{ kind: "connect"; containerId: string; network: string }>
    | Readonly<{ kind: "start"; containerId: string; ports: readonly HostPort[] }>
    | Readonly<{ kind: "rename"; containerId: string; name: string }>
    | Readonly<{ kind: "remove"; containerId: string; force: boolean }>
    /** Jobs: the round goes on without waiting for their end. */
    | Readonly<{ kind: "stop"; containerId: string; graceSeconds: number }>
    | Readonly<{ kind: "restart"; containerId: string; graceSeconds: number }>
    | Readonly<{ kind: "pull"; image: string; wanters: readonly PullWanter[] /** Ids of the images on the device. */; present: ReadonlySet<string> }>
    | Readonly<{ kind: "abort_pull"; image: string }>
    | Readonly<{ kind: "remove_image"; imageId: string; image: string }>
    /** Of the memory alone: nothing is asked of the engine. */
    | Readonly<{ kind: "adopt"; containerId: string; spec: string }>
    | Readonly<{ kind: "run_failed"; cronJob: string; due: number; reason: string }>
    | Readonly<{ kind: "prune_done"; cluster: ClusterIdentity; deviceGroup: string; pruneId: bigint }>
  );

/** How a step ended. */
export type StepOutcome = Readonly<{ kind: "done" } | { kind: "failed"; reason: string } | { kind: "aborted" }>;

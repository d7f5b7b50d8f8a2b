import type { HostPort } from "../../common/desired/container-spec.ts";
import type { Cause } from "../../common/desired/desired.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import type { ErrorKind } from "../../common/errors/nebula-error.ts";
import type { ClusterIdentity } from "../../common/storage/config-store.ts";
import type { PullWanter } from "../observed/observed.ts";
import type { CreateRequest } from "../runtime/container-runtime.ts";

/**
 * One call to the engine, or one note in the memory, for `unit`. Steps of one lane run in order, up to the first that
 * fails; no lane waits for another. Without a `lane`, a container or unit is its own lane. `place` identifies a slot with
 * its spec, or a run of a cron_job: steps of a place are tried with different containers.
 */
export type Step = Readonly<{ unit: string; lane?: string }> &
  (
    | Readonly<{ kind: "create_network"; network: string }>
    | Readonly<{ kind: "remove_network"; networkId: string }>
    | Readonly<{ kind: "create"; place: string; request: CreateRequest }>
    | Readonly<{ kind: "connect"; containerId: string; place?: string | undefined; network: string; networkId: string }>
    | Readonly<{ kind: "disconnect"; containerId: string; networkId: string }>
    /** `isExchange`: an old container was stopped for it, and is started again if it fails. */
    | Readonly<{ kind: "start"; containerId: string; place?: string | undefined; ports: readonly HostPort[]; isExchange: boolean }>
    | Readonly<{ kind: "rename"; containerId: string; name: string }>
    | Readonly<{ kind: "remove"; containerId: string; force: boolean }>
    | Readonly<{ kind: "remove_volume"; volume: string }>
    | Readonly<{ kind: "unpause"; containerId: string }>
    | Readonly<{ kind: "inspect"; containerId: string }>
    /** Jobs: their lane does not wait for their end. */
    | Readonly<{ kind: "stop"; containerId: string; graceSeconds: number }>
    | Readonly<{ kind: "restart"; containerId: string; graceSeconds: number }>
    /** `present`: ids of the images on the device before the pull. */
    | Readonly<{ kind: "pull"; image: string; wanters: readonly PullWanter[]; present: ReadonlySet<string> }>
    /** Another set of units waits for a pull that is under way. */
    | Readonly<{ kind: "join_pull"; image: string; wanters: readonly PullWanter[] }>
    | Readonly<{ kind: "abort_pull"; image: string }>
    | Readonly<{ kind: "remove_image"; imageId: string; image: string }>
    /** Notes in the memory: the engine is not asked. */
    | Readonly<{ kind: "adopt"; containerId: string; spec: string }>
    /** Volumes to be removed once a container has been removed. */
    | Readonly<{ kind: "give_up_volumes"; containerId: string; volumes: readonly string[] }>
    | Readonly<{ kind: "run_failed"; cronJob: string; due: number } & Cause>
    /** A unit left the config long ago: its pulls and images are forgotten. */
    | Readonly<{ kind: "forget_unit"; heirs: readonly Heir[] }>
    | Readonly<{ kind: "prune_done"; cluster: ClusterIdentity; deviceGroup: string; pruneId: bigint }>
  );

/** The unit of the steps that repair the network `nebula`. Apps wait for all of them, so they share one key. */
export const NETWORK_UNIT = "network";
export const NETWORK_KEY = "network nebula";

/** The key under which the failures of a step are remembered. Each step has one, and no other function makes keys. */
export function keyOf(step: Step): string {
  if (step.unit === NETWORK_UNIT) return NETWORK_KEY;
  const { kind, unit } = step;
  switch (kind) {
    case "create":
      return createKey(step.place);
    case "start":
      return `start ${step.place ?? step.containerId}`;
    case "connect":
      return `connect ${step.place ?? step.containerId} ${step.network}`;
    case "disconnect":
      return `disconnect ${step.containerId} ${step.networkId}`;
    case "rename":
    case "remove":
    case "unpause":
    case "stop":
    case "restart":
    case "inspect":
    case "adopt":
    case "give_up_volumes":
      return containerKey(kind, step.containerId);
    case "create_network":
      return `create_network ${step.network}`;
    case "remove_network":
      return `remove_network ${step.networkId}`;
    case "remove_volume":
      return `remove_volume ${step.volume}`;
    case "pull":
    case "join_pull":
    case "abort_pull":
      return `${kind} ${step.image}`;
    case "remove_image":
      return imageRemovalKey(unit, step.imageId);
    case "run_failed":
      return `run_failed ${unit} ${step.due}`;
    case "forget_unit":
      return `forget_unit ${unit}`;
    case "prune_done":
      return "prune_done";
    default:
      return assertNever(kind);
  }
}

/** The keys of the steps by which a place gets its container. */
export function placeKeys(place: string, networks: readonly string[]): readonly string[] {
  return [`start ${place}`, createKey(place), ...networks.map((network) => `connect ${place} ${network}`)];
}

export function createKey(place: string): string {
  return `create ${place}`;
}

/** The key of a step that is about one container, independent of its place. */
export function containerKey(kind: Extract<Step, { containerId: string }>["kind"], containerId: string): string {
  return `${kind} ${containerId}`;
}

export function imageRemovalKey(unit: string, imageId: string): string {
  return `remove_image ${unit} ${imageId}`;
}

/** The key of a failed pull of a unit: one for each spec, or for each run of a cron_job. */
export function pullKey(unit: string, attempt: string): string {
  return `pull ${unit} ${attempt}`;
}

/** An image that was pulled for a unit. */
export type PulledImage = Readonly<{ image: string; id: string }>;

/** A unit that uses an image which was pulled for another one. */
export type Heir = Readonly<{ unit: string; image: PulledImage }>;

/** A step that asks the engine for something, in the order of its lane. */
export type LaneStep = Exclude<
  Step,
  { kind: "pull" | "join_pull" | "abort_pull" | "adopt" | "give_up_volumes" | "run_failed" | "forget_unit" | "prune_done" }
>;

/** Whether a step is a note in the memory: the engine is not asked. */
export function isDoneAtOnce({ kind }: Step): boolean {
  return kind === "adopt" || kind === "give_up_volumes" || kind === "run_failed" || kind === "forget_unit" || kind === "prune_done";
}

export function laneOf(step: Step): string {
  return step.lane ?? ("containerId" in step ? `container ${step.containerId}` : step.unit);
}

/** How a step ended; `created` is the id of the container that a create made. */
export type StepOutcome = Readonly<
  { kind: "done"; created?: string | undefined } | { kind: "failed"; reason: string; errorKind?: ErrorKind } | { kind: "aborted" }
>;

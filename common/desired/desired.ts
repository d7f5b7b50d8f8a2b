import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { AppEntry, Config, CronJobEntry } from "../../gen/nebula/v1/config_pb.ts";
import { PullPolicy as ProtoPullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { CronJobSchema, CronOverlap } from "../../gen/nebula/v1/cron_job_pb.ts";
import { FailureCode } from "../../gen/nebula/v1/report_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import type { ClusterIdentity } from "../storage/config-store.ts";
import { validateApp } from "../validation/app.ts";
import { normaliseImageReference } from "../validation/container/image-reference.ts";
import { standsAlone } from "../validation/container/network.ts";
import { validateCronJob } from "../validation/cron-job.ts";
import { unknownFieldPaths } from "../validation/message-shape.ts";
import { DEFAULTS } from "../validation/normal-form.ts";
import { LARGEST_PORT } from "../validation/ports.ts";
import type { ContainerSpec } from "./container-spec.ts";
import { portsAt, specOfApp, specOfCronJob } from "./container-spec.ts";
import { type Capacity, containerCount } from "./count.ts";
import { specHash } from "./spec-hash.ts";

/** The desired state of one device, derived from its config. Lists are in the group's order. */
export type Desired = Readonly<{
  cluster: ClusterIdentity;
  deviceGroup: string;
  groupRevision: bigint;
  pruneId: bigint;
  apps: readonly DesiredApp[];
  cronJobs: readonly DesiredCronJob[];
}>;

type Named = Readonly<{ name: string; revision: bigint }>;

/** An app that is deleted, or never existed. */
export type GoneEntry = Named & Readonly<{ kind: "gone" }>;

/** An entry that this worker does not act on: its containers are left as they are. No prune removes its image (a normalised reference). */
export type RefusedEntry = Named & Cause & Readonly<{ kind: "refused"; image: string }>;

/** Why something is not as wanted: a code to count and to filter by, and a sentence. */
export type Cause = Readonly<{ code: FailureCode; reason: string }>;

/** An app without containers: `running` is false. */
export type StoppedApp = Named & Readonly<{ kind: "stopped"; stopGraceSeconds: number; image: string }>;

export type PullPolicy = "on_change" | "always" | "missing" | "never";

export type RunningApp = Named &
  Readonly<{
    kind: "running";
    image: string;
    pullPolicy: PullPolicy;
    restartCount: bigint;
    rolling: boolean;
    minHealthyMs: number;
    /** Whether a new container starts with empty anonymous volumes. */
    renewsVolumes: boolean;
    stopGraceSeconds: number;
    /** Names the spec of the app as a whole, for all indexes: another value is a change of the app. */
    change: string;
    /** One per container, index 1 first. */
    instances: readonly DesiredInstance[];
    notes: readonly string[];
  }>;

export type DesiredApp = RunningApp | StoppedApp | GoneEntry | RefusedEntry;

/** One container of an app. `refusal`: why there can be no such container (a port beyond 65535). */
export type DesiredInstance = Readonly<{ index: number; spec: ContainerSpec; hash: string; refusal: string | undefined }>;

export type ScheduledCronJob = Named &
  Readonly<{
    kind: "scheduled";
    /** false: no run is started, and one in progress finishes. */
    running: boolean;
    schedule: string;
    /** IANA name; undefined: the worker's. */
    timeZone: string | undefined;
    overlap: "skip" | "replace" | "allow";
    image: string;
    pullPolicy: PullPolicy;
    stopGraceSeconds: number;
    spec: ContainerSpec;
    hash: string;
    notes: readonly string[];
  }>;

export type DesiredCronJob = ScheduledCronJob | GoneEntry | RefusedEntry;

/** The facts of a device that decide counts and fill in device variables. */
export type DeviceFacts = Readonly<{ deviceId: string; engine: Capacity }>;

/**
 * Derives the desired state of a device from its config. An entry that is invalid, or that holds fields of a newer
 * version, is refused with its reason, and the others are not affected (I2).
 */
export function desiredOf(config: Config, { deviceId, engine }: DeviceFacts): Desired {
  const variables = { deviceId, deviceGroup: config.deviceGroup };
  return {
    cluster: { id: config.cluster?.id ?? "", epoch: config.cluster?.epoch ?? 0n },
    deviceGroup: config.deviceGroup,
    groupRevision: config.groupRevision,
    pruneId: config.pruneId,
    apps: config.apps.map((entry) => desiredApp(entry, variables, engine)),
    cronJobs: config.cronJobs.map((entry) => desiredCronJob(entry, variables)),
  };
}

type Variables = Parameters<typeof specOfApp>[1];

function desiredApp({ name, revision, app }: AppEntry, variables: Variables, engine: DeviceFacts["engine"]): DesiredApp {
  if (app === undefined) return { kind: "gone", name, revision };
  const image = normaliseImageReference(app.dockerImage);
  const refusal = refusalOf(unknownFieldPaths(AppSchema, app), validateApp(app));
  if (refusal !== undefined) return { kind: "refused", name, revision, ...refusal, image };
  const stopGraceSeconds = app.stopGraceSeconds ?? DEFAULTS.stopGraceSeconds;
  if (app.running === false) return { kind: "stopped", name, revision, stopGraceSeconds, image };
  const counted = containerCount(app.containersPer, engine);
  if (counted.kind === "invalid") return { kind: "refused", name, revision, code: FailureCode.CONFIG_INVALID, reason: counted.reason, image };
  const spec = specOfApp(app, variables);
  return {
    kind: "running",
    name,
    revision,
    image: spec.image,
    pullPolicy: pullPolicyOf(app.pullPolicy),
    restartCount: app.restartCount,
    rolling: app.rollingRestart,
    renewsVolumes: app.renewAnonymousVolumes,
    minHealthyMs: app.minHealthyMs ?? DEFAULTS.minHealthyMs,
    stopGraceSeconds,
    change: changeOf(app, variables),
    instances: Array.from({ length: counted.count }, (_, i) => instanceOf(app, spec, i + 1)),
    notes: standsAlone(spec.networks) && app.startingPorts.length > 0 ? [`starting_ports are ignored with ${spec.networks[0]} networking`] : [],
  };
}

/** One container of an app, whether its count reaches that index or not. */
export function instanceAt(app: App, index: number, variables: Variables): DesiredInstance {
  return instanceOf(app, specOfApp(app, variables), index);
}

/** The `change` of an app that runs. */
export function changeOf(app: App, variables: Variables): string {
  return specHash({ spec: { ...specOfApp(app, variables), ports: portsAt(app.startingPorts, 1) }, restartCount: app.restartCount });
}

function instanceOf(app: App, common: DesiredInstance["spec"], index: number): DesiredInstance {
  const ports = standsAlone(common.networks) ? [] : portsAt(app.startingPorts, index);
  const spec = { ...common, ports };
  const beyond = ports.find(({ hostPort }) => hostPort > LARGEST_PORT);
  const refusal =
    beyond &&
    `container ${index} would need host port ${beyond.hostPort}, and ${LARGEST_PORT} is the last one; lower starting_ports or containers_per`;
  return { index, spec, hash: specHash({ spec, restartCount: app.restartCount }), refusal };
}

function desiredCronJob({ name, revision, cronJob }: CronJobEntry, variables: Variables): DesiredCronJob {
  if (cronJob === undefined) return { kind: "gone", name, revision };
  const refusal = refusalOf(unknownFieldPaths(CronJobSchema, cronJob), validateCronJob(cronJob));
  if (refusal !== undefined) return { kind: "refused", name, revision, ...refusal, image: normaliseImageReference(cronJob.dockerImage) };
  const spec = specOfCronJob(cronJob, variables);
  return {
    kind: "scheduled",
    name,
    revision,
    running: cronJob.running ?? DEFAULTS.running,
    schedule: cronJob.schedule,
    timeZone: cronJob.timeZone === "" ? undefined : cronJob.timeZone,
    overlap: overlapOf(cronJob.overlap),
    image: spec.image,
    pullPolicy: pullPolicyOf(cronJob.pullPolicy),
    stopGraceSeconds: cronJob.stopGraceSeconds ?? DEFAULTS.stopGraceSeconds,
    spec,
    hash: specHash({ spec, restartCount: 0n }),
    notes: [],
  };
}

/** Unknown fields first: what they mean may be what makes the rest look invalid. */
function refusalOf(unknownFields: readonly string[], violations: readonly Violation[]): Cause | undefined {
  if (unknownFields.length > 0) {
    const reason = `worker_too_old: this worker does not know field ${unknownFields.join(", ")}; upgrade it. What runs is left as it is`;
    return { code: FailureCode.WORKER_TOO_OLD, reason };
  }
  const [first, ...more] = violations;
  if (first === undefined) return undefined;
  const reason = `invalid: ${first.field}: ${first.description}${more.length === 0 ? "" : ` (and ${more.length} more)`}. What runs is left as it is`;
  return { code: FailureCode.CONFIG_INVALID, reason };
}

function pullPolicyOf(policy: ProtoPullPolicy): PullPolicy {
  switch (policy) {
    case ProtoPullPolicy.ALWAYS:
      return "always";
    case ProtoPullPolicy.MISSING:
      return "missing";
    case ProtoPullPolicy.NEVER:
      return "never";
    default:
      return "on_change";
  }
}

function overlapOf(overlap: CronOverlap): "skip" | "replace" | "allow" {
  switch (overlap) {
    case CronOverlap.REPLACE:
      return "replace";
    case CronOverlap.ALLOW:
      return "allow";
    default:
      return "skip";
  }
}

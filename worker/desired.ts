import type { Violation } from "../common/errors/nebula-error.ts";
import { validateApp } from "../common/validation/app.ts";
import { validateCronJob } from "../common/validation/cron-job.ts";
import { normaliseImageReference } from "../common/validation/image-reference.ts";
import { unknownFieldPaths } from "../common/validation/message-shape.ts";
import { standsAlone } from "../common/validation/networks.ts";
import { DEFAULTS } from "../common/validation/normal-form.ts";
import { LARGEST_PORT } from "../common/validation/ports.ts";
import { type App, AppSchema } from "../gen/nebula/v1/app_pb.ts";
import type { AppEntry, Config, CronJobEntry } from "../gen/nebula/v1/config_pb.ts";
import { PullPolicy as ProtoPullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { CronJobSchema, CronOverlap } from "../gen/nebula/v1/cron_job_pb.ts";
import { portsAt, specOfApp, specOfCronJob } from "./container-spec.ts";
import { containerCount } from "./containers-per.ts";
import type { Desired, DesiredApp, DesiredCronJob, DesiredInstance, PullPolicy, RefusedEntry } from "./model.ts";
import type { EngineInfo } from "./runtime/container-runtime.ts";
import { specHash } from "./spec-hash.ts";

/** What the config is for: it decides counts and fills in device variables. */
export type DeviceFacts = Readonly<{ deviceId: string; engine: Pick<EngineInfo, "cores" | "memoryBytes"> }>;

/**
 * Works out what a device should run. An entry that is invalid, or that holds fields of a newer version, is refused with its reason and keeps no other
 * from being right.
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
  if (refusal !== undefined) return { kind: "refused", name, revision, reason: refusal, image };
  const stopGraceSeconds = app.stopGraceSeconds ?? DEFAULTS.stopGraceSeconds;
  if (app.running === false) return { kind: "stopped", name, revision, stopGraceSeconds, image };
  const counted = containerCount(app.containersPer, engine);
  if (counted.kind === "invalid") return { kind: "refused", name, revision, reason: counted.reason, image };
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
    change: specHash({ spec: { ...spec, ports: portsAt(app.startingPorts, 1) }, restartCount: app.restartCount }),
    instances: Array.from({ length: counted.count }, (_, i) => instanceOf(app, spec, i + 1)),
    notes: standsAlone(spec.networks) && app.startingPorts.length > 0 ? [`starting_ports are ignored with ${spec.networks[0]} networking`] : [],
  };
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
  if (refusal !== undefined) return { kind: "refused", name, revision, reason: refusal, image: normaliseImageReference(cronJob.dockerImage) };
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
function refusalOf(unknownFields: readonly string[], violations: readonly Violation[]): RefusedEntry["reason"] | undefined {
  if (unknownFields.length > 0) {
    return `worker_too_old: this worker does not know field ${unknownFields.join(", ")}; upgrade it. What runs is left as it is`;
  }
  const [first, ...more] = violations;
  if (first === undefined) return undefined;
  return `invalid: ${first.field}: ${first.description}${more.length === 0 ? "" : ` (and ${more.length} more)`}. What runs is left as it is`;
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

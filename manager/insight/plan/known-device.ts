import type { DeviceVariables } from "../../../common/desired/container-spec.ts";
import { changeOf, type DeviceFacts, instanceAt } from "../../../common/desired/desired.ts";
import type { KnownApp, KnownContainer, KnownDevice } from "../../../common/desired/device-steps.ts";
import { normaliseImageReference } from "../../../common/validation/container/image-reference.ts";
import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../../gen/nebula/v1/container_pb.ts";
import { type AppStatus, ContainerState, type ContainerStatus, FailureCode, type Report, TargetState } from "../../../gen/nebula/v1/report_pb.ts";

/** The apps of the revisions that reports name, as devices got them: with their secret values. */
export type Bodies = Readonly<{
  /** undefined: there is no such revision, or it is not kept any more; "none": of a tombstone. */
  app(name: string, revision: bigint): App | undefined;
  /** Whether the name was never used before the change that is planned. */
  isNew(name: string): boolean;
}>;

/** Why the steps of a device can't be foreseen. */
export type Unforeseen = "no_report" | "original" | "no_host" | "other_cluster" | "stands_still";

/** Problems with which a worker follows no config. */
const STANDING_STILL: ReadonlySet<string> = new Set(["second_worker", "engine_unreachable", "older_epoch"]);

/** The config that a device is planned for: its cluster, its apps after the change, and whether their counts depend on cores or memory. */
export type PlannedFor = Readonly<{ cluster: Readonly<{ id: string; epoch: bigint }>; apps: readonly string[]; needsCapacity: boolean }>;

/** The device as the plan's functions take it, or why not. Pure. */
export function knownDevice(
  report: Report | undefined,
  { cluster, apps, needsCapacity }: PlannedFor,
  bodies: Bodies,
): Readonly<{ kind: "known"; device: KnownDevice; facts: DeviceFacts } | { kind: "unforeseen"; why: Unforeseen }> {
  if (report === undefined) return { kind: "unforeseen", why: "no_report" };
  if (report.boot === "v2") return { kind: "unforeseen", why: "original" };
  if (report.problems.some(({ code }) => STANDING_STILL.has(code))) return { kind: "unforeseen", why: "stands_still" };
  const follows = report.cluster;
  if (follows !== undefined && (follows.id !== cluster.id || follows.epoch > cluster.epoch)) return { kind: "unforeseen", why: "other_cluster" };
  if (needsCapacity && (report.host === undefined || report.host.cpuCores === 0)) return { kind: "unforeseen", why: "no_host" };
  const engine = { cores: report.host?.cpuCores ?? 1, memoryBytes: Number(report.host?.memoryTotalBytes ?? 0n) };
  const facts = { deviceId: report.deviceId, engine };
  const variables = { deviceId: report.deviceId, deviceGroup: report.deviceGroup };
  const containers = [...report.apps, ...report.cronJobs].flatMap((target) => target.containers);
  return {
    kind: "known",
    facts,
    device: {
      apps: new Map([
        ...apps.map((name) => [name, unknownApp(name, bodies)] as const),
        ...report.apps.map((app) => [app.name, knownApp(app, variables, bodies)] as const),
      ]),
      cronJobs: new Map(
        report.cronJobs.map((job) => [job.name, { containers: job.containers.length, appliedRevision: job.appliedRevision }] as const),
      ),
      images: new Set(containers.flatMap(({ image }) => (image === "" ? [] : [normaliseImageReference(image)]))),
    },
  };
}

/** The app of a device that reported nothing of it. */
function unknownApp(name: string, bodies: Bodies): KnownApp {
  return { containers: [], pulledChange: bodies.isNew(name) ? "" : undefined, isStale: false };
}

function knownApp(status: AppStatus, variables: DeviceVariables, bodies: Bodies): KnownApp {
  const isApplied = status.state === TargetState.APPLIED && status.appliedRevision === status.revision;
  // An applied app's containers fit its revision, also those that were made for an earlier one.
  const applied = isApplied ? bodies.app(status.name, status.revision) : undefined;
  const containers = status.containers.map((container) =>
    knownContainer(container, applied ?? bodies.app(status.name, container.revision), variables),
  );
  return {
    containers,
    pulledChange: pulledChange(status, applied, variables, bodies),
    isStale: status.failureCode === FailureCode.IMAGE_STALE,
  };
}

function knownContainer({ name, state }: ContainerStatus, app: App | undefined, variables: DeviceVariables): KnownContainer {
  const index = indexOf(name);
  const isUp = state === ContainerState.RUNNING || state === ContainerState.PAUSED || state === ContainerState.RESTARTING;
  const hasRun = state === ContainerState.EXITED && /-\d+$/.test(name);
  if (app === undefined || index === undefined) return { index, hash: undefined, ports: [], isUp, hasRun };
  const { hash, spec } = instanceAt(app, index, variables);
  return { index, hash, ports: spec.ports, isUp, hasRun };
}

/** `web-2`, and its names during a replacement: `web-2.next`, `web-2.old`, `web-2.moved-1a2b3c4d`. */
function indexOf(name: string): number | undefined {
  const digits = /-(\d{1,9})(?:\.(?:next|old|moved-[0-9a-f]{8}))?$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The spec that the newest pull for the app was made for: certain only where each of its containers was made under a policy that pulls at a change. */
function pulledChange({ name, containers }: AppStatus, applied: App | undefined, variables: DeviceVariables, bodies: Bodies): string | undefined {
  if (bodies.isNew(name)) return "";
  if (applied === undefined || containers.length === 0 || !pullsAtChange(applied)) return undefined;
  const isCertain = containers.every(({ revision }) => {
    const made = bodies.app(name, revision);
    return made !== undefined && pullsAtChange(made);
  });
  return isCertain ? changeOf(applied, variables) : undefined;
}

function pullsAtChange({ pullPolicy }: App): boolean {
  return pullPolicy === PullPolicy.UNSPECIFIED || pullPolicy === PullPolicy.ALWAYS;
}

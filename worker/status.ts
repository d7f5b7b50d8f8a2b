import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { assertNever } from "../common/errors/assert-never.ts";
import type { ClusterIdentity } from "../common/storage/config-store.ts";
import {
  type AppStatus,
  AppStatusSchema,
  ContainerHealth,
  ContainerState,
  type ContainerStatus,
  ContainerStatusSchema,
  type CronJobStatus,
  CronJobStatusSchema,
  type Problem,
  ProblemSchema,
  TargetState,
} from "../gen/nebula/v1/report_pb.ts";
import type { Applied } from "./memory.ts";
import type { Now } from "./model.ts";
import { appUnit, cronJobUnit, type Owned } from "./owned.ts";
import { compareClusters } from "./plan/cluster.ts";
import {
  type AppState,
  type CronJobState,
  type DeviceProblem,
  type DeviceStates,
  type TargetState as PlannedState,
  type ProblemCode,
  worst,
} from "./plan/states.ts";
import type { ContainerPhase, ContainerStats, ContainerHealth as Health } from "./runtime/container-runtime.ts";

export type StatusContext = Readonly<{ applied: Applied["revisions"]; now: Now; stats: ReadonlyMap<string, ContainerStats> }>;

/** The revisions that are applied now: those before, if they are of this cluster, and those of targets that a plan found fully as wanted. */
export function appliedAfter(before: Applied | undefined, { apps, cronJobs }: DeviceStates, cluster: ClusterIdentity): Applied {
  const known = before !== undefined && compareClusters(before.cluster, cluster) === "same" ? before : undefined;
  const entries = (targets: readonly (AppState | CronJobState)[], unitOf: (name: string) => string) =>
    targets.map((target): [string, bigint] => [unitOf(target.name), appliedOf(known?.revisions.get(unitOf(target.name)), target, cluster)]);
  const revisions = new Map([...entries(apps, appUnit), ...entries(cronJobs, cronJobUnit)]);
  const isSame = revisions.size === known?.revisions.size && [...revisions].every(([unit, revision]) => known.revisions.get(unit) === revision);
  return known !== undefined && isSame ? known : { cluster, revisions };
}

/** Where nothing is known but what labels tell: the oldest revision that a container was made for. */
function appliedOf(before: bigint | undefined, { state, revision, containers }: AppState | CronJobState, cluster: ClusterIdentity): bigint {
  if (state.kind === "applied") return revision;
  if (before !== undefined) return before;
  const ours = containers.filter((owned) => owned.cluster !== undefined && compareClusters(owned.cluster, cluster) === "same");
  return (
    ours
      .map((owned) => owned.revision)
      .reduce<bigint | undefined>((least, made) => (least === undefined || made < least ? made : least), undefined) ?? 0n
  );
}

export function appStatus(app: AppState, context: StatusContext): AppStatus {
  return create(AppStatusSchema, {
    name: app.name,
    revision: app.revision,
    appliedRevision: context.applied.get(appUnit(app.name)) ?? 0n,
    ...stateFields(app.state, context.now),
    containers: app.containers.map((owned) => containerStatus(owned, context)),
    notes: [...app.notes],
  });
}

export function cronJobStatus(job: CronJobState, context: StatusContext): CronJobStatus {
  const { state, reason } = stateFields(job.state, context.now);
  return create(CronJobStatusSchema, {
    name: job.name,
    revision: job.revision,
    appliedRevision: context.applied.get(cronJobUnit(job.name)) ?? 0n,
    state,
    reason: job.reason ?? reason ?? "",
    ...(job.lastRunDue !== undefined && { lastRunDue: timestampFromMs(job.lastRunDue) }),
    ...(job.nextRunDue !== undefined && { nextRunDue: timestampFromMs(job.nextRunDue) }),
    containers: job.containers.map((owned) => containerStatus(owned, context)),
    notes: [...job.notes],
  });
}

export function problemStatus({ code, message }: DeviceProblem): Problem {
  return create(ProblemSchema, { code, message });
}

/** Others only have to be known. */
const BLOCKING: ReadonlySet<ProblemCode> = new Set(["second_worker", "engine_unreachable", "older_epoch"]);

/** Whether a problem keeps the device from following its config. */
export function isBlocking({ code }: DeviceProblem): boolean {
  return BLOCKING.has(code);
}

/** Where the device stands with its config as a whole, where no problem blocks it. */
export function deviceState({ apps, cronJobs }: Pick<DeviceStates, "apps" | "cronJobs">): TargetState {
  return stateNumber(worst([...apps, ...cronJobs].map(({ state }) => state)));
}

type StateFields = Pick<AppStatus, "state"> & Partial<Pick<AppStatus, "step" | "reason" | "tries" | "retryAt">>;

function stateFields(state: PlannedState, now: Now): StateFields {
  switch (state.kind) {
    case "applied":
      return { state: TargetState.APPLIED };
    case "working":
      return {
        state: TargetState.WORKING,
        step: state.step,
        reason: state.reason ?? "",
        tries: state.tries ?? 0,
        ...retryFields(state.retryAt, now),
      };
    case "failed":
      return { state: TargetState.FAILED, step: state.step, reason: state.reason, tries: state.tries, ...retryFields(state.retryAt, now) };
    default:
      return assertNever(state);
  }
}

/** @param retryAt milliseconds of the monotonic clock; the report has it by the wall clock */
function retryFields(retryAt: number | undefined, now: Now): Pick<StateFields, "retryAt"> {
  return retryAt === undefined ? {} : { retryAt: timestampFromMs(Math.round(now.wall + retryAt - now.monotonic)) };
}

function stateNumber(state: PlannedState): TargetState {
  switch (state.kind) {
    case "applied":
      return TargetState.APPLIED;
    case "working":
      return TargetState.WORKING;
    case "failed":
      return TargetState.FAILED;
    default:
      return assertNever(state);
  }
}

function containerStatus({ container, revision }: Owned, { stats }: StatusContext): ContainerStatus {
  const used = stats.get(container.id);
  return create(ContainerStatusSchema, {
    name: container.name,
    id: container.id,
    revision,
    state: PHASES[container.phase],
    health: HEALTHS[container.health],
    restarts: container.restartCount,
    image: container.image,
    ...(container.startedAt !== undefined && { startedAt: timestampFromMs(container.startedAt) }),
    exitCode: container.exitCode ?? 0,
    memoryBytes: BigInt(Math.round(used?.memoryBytes ?? 0)),
    cpuPercent: used?.cpuPercent ?? 0,
  });
}

const PHASES: Readonly<Record<ContainerPhase, ContainerState>> = {
  created: ContainerState.CREATED,
  running: ContainerState.RUNNING,
  paused: ContainerState.PAUSED,
  restarting: ContainerState.RESTARTING,
  removing: ContainerState.EXITED,
  exited: ContainerState.EXITED,
  dead: ContainerState.DEAD,
};

const HEALTHS: Readonly<Record<Health, ContainerHealth>> = {
  none: ContainerHealth.UNSPECIFIED,
  starting: ContainerHealth.STARTING,
  healthy: ContainerHealth.HEALTHY,
  unhealthy: ContainerHealth.UNHEALTHY,
};

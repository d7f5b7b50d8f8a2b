import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Desired } from "../../common/desired/desired.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { VERSION } from "../../common/version.ts";
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
  type Report,
  ReportSchema,
  TargetState,
} from "../../gen/nebula/v1/report_pb.ts";
import type { Now } from "../observed/observed.ts";
import { appUnit, cronJobUnit, type Owned } from "../observed/owned.ts";
import type { Applied, PruneMark } from "../plan/memory/memory.ts";
import {
  type AppState,
  type CronJobState,
  type DeviceProblem,
  type DeviceStates,
  type TargetState as PlannedState,
  type ProblemCode,
  worst,
} from "../plan/states.ts";
import type { ContainerPhase, ContainerStats, ContainerHealth as Health } from "../runtime/container-runtime.ts";

export type ReportParts = Readonly<{
  deviceId: string;
  deviceGroup: string;
  boot: string;
  instance: string;
  /** Milliseconds since 1970. */
  startedAt: number;
  /** Of the newest config received; empty: none. */
  etag: string;
  /** Whether the states are about that config; otherwise the device only just has it. */
  isPlanned: boolean;
  desired: Desired | undefined;
  /** The newest that is known, also while the engine is away. */
  states: DeviceStates | undefined;
  applied: Applied["revisions"];
  pruned: PruneMark | undefined;
  /** What is wrong with the worker itself, beside what the plan found. */
  problems: readonly DeviceProblem[];
  stats: ReadonlyMap<string, ContainerStats>;
  now: Now;
}>;

/** A report of what is known now; seq, created_at and the host's figures come when it is sent. */
export function composeReport(parts: ReportParts): Report {
  const { desired, states, applied, now, stats } = parts;
  const problems = [...(states?.problems ?? []), ...parts.problems];
  const apps = states?.apps ?? [];
  const cronJobs = states?.cronJobs ?? [];
  const context = { applied, now, stats };
  return create(ReportSchema, {
    deviceId: parts.deviceId,
    deviceGroup: parts.deviceGroup,
    boot: parts.boot,
    workerVersion: VERSION,
    instance: parts.instance,
    ...(desired !== undefined && { cluster: { id: desired.cluster.id, epoch: desired.cluster.epoch } }),
    etag: parts.etag,
    state: wholeState(parts, problems),
    groupRevision: desired?.groupRevision ?? 0n,
    pruneId: parts.pruned?.pruneId ?? 0n,
    apps: apps.map((app) => appStatus(app, context)),
    cronJobs: cronJobs.map((job) => cronJobStatus(job, context)),
    problems: problems.map(problemStatus),
    startedAt: timestampFromMs(parts.startedAt),
  });
}

function wholeState({ desired, states, isPlanned }: ReportParts, problems: readonly DeviceProblem[]): TargetState {
  if (problems.some(isBlocking)) return TargetState.FAILED;
  return desired === undefined || states === undefined || !isPlanned ? TargetState.WORKING : deviceState(states);
}

export type StatusContext = Readonly<{ applied: Applied["revisions"]; now: Now; stats: ReadonlyMap<string, ContainerStats> }>;

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

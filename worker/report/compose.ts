import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Desired } from "../../common/desired/desired.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { isBlocking } from "../../common/insight/problems.ts";
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
  FailureCode,
  type Problem,
  ProblemSchema,
  PullProgressSchema,
  type Report,
  ReportSchema,
  StepKind,
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
  type StepName,
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
  since: StatusContext["since"];
  /** Containers that were put right since the start. */
  repairs: number;
  pruned: PruneMark | undefined;
  /** The problems of the worker itself, beside those that the plan found. */
  problems: readonly DeviceProblem[];
  stats: ReadonlyMap<string, ContainerStats>;
  /** By id: the sizes of the images on the device. */
  imageBytes: ReadonlyMap<string, number>;
  now: Now;
}>;

/** A report of what is known now; seq, created_at and the host's figures come when it is sent. */
export function composeReport(parts: ReportParts): Report {
  const { desired, states, applied, now, stats, imageBytes } = parts;
  const problems = [...(states?.problems ?? []), ...parts.problems];
  const apps = states?.apps ?? [];
  const cronJobs = states?.cronJobs ?? [];
  const context = { applied, since: parts.since, now, stats, imageBytes };
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
    repairs: BigInt(parts.repairs),
  });
}

function wholeState({ desired, states, isPlanned }: ReportParts, problems: readonly DeviceProblem[]): TargetState {
  if (problems.some(({ code }) => isBlocking(code))) return TargetState.FAILED;
  return desired === undefined || states === undefined || !isPlanned ? TargetState.WORKING : deviceState(states);
}

export type StatusContext = Readonly<{
  applied: Applied["revisions"];
  /** By unit: since when it has stood so, milliseconds of the monotonic clock. */
  since: ReadonlyMap<string, number>;
  now: Now;
  stats: ReadonlyMap<string, ContainerStats>;
  imageBytes: ReadonlyMap<string, number>;
}>;

export function appStatus(app: AppState, context: StatusContext): AppStatus {
  return create(AppStatusSchema, {
    name: app.name,
    revision: app.revision,
    appliedRevision: context.applied.get(appUnit(app.name)) ?? 0n,
    ...stateFields(app.state),
    ...retryFields(app.state, context.now),
    stateForMs: stateForMs(appUnit(app.name), context),
    ...pullFields(app.state),
    containers: app.containers.map((owned) => containerStatus(owned, context)),
    notes: [...app.notes],
  });
}

export function cronJobStatus(job: CronJobState, context: StatusContext): CronJobStatus {
  const { state, reason, failureCode, stepKind } = stateFields(job.state);
  return create(CronJobStatusSchema, {
    name: job.name,
    revision: job.revision,
    appliedRevision: context.applied.get(cronJobUnit(job.name)) ?? 0n,
    state,
    reason: job.reason ?? reason ?? "",
    failureCode,
    stepKind,
    stateForMs: stateForMs(cronJobUnit(job.name), context),
    ...(job.lastRunDue !== undefined && { lastRunDue: timestampFromMs(job.lastRunDue) }),
    ...(job.nextRunDue !== undefined && { nextRunDue: timestampFromMs(job.nextRunDue) }),
    containers: job.containers.map((owned) => containerStatus(owned, context)),
    notes: [...job.notes],
  });
}

export function problemStatus({ code, message }: DeviceProblem): Problem {
  return create(ProblemSchema, { code, message });
}

/** Where the device stands with its config as a whole, where no problem blocks it. */
export function deviceState({ apps, cronJobs }: Pick<DeviceStates, "apps" | "cronJobs">): TargetState {
  return stateNumber(worst([...apps, ...cronJobs].map(({ state }) => state)));
}

type StateFields = Pick<AppStatus, "state" | "step" | "reason" | "tries" | "failureCode" | "stepKind">;

function stateFields(state: PlannedState): StateFields {
  const { step = "", reason = "", tries = 0, code = FailureCode.UNSPECIFIED } = state.kind === "applied" ? {} : state;
  return { state: stateNumber(state), step, reason, tries, failureCode: code, stepKind: step === "" ? StepKind.UNSPECIFIED : STEP_KINDS[step] };
}

/** When the failing step is tried next: by the wall clock, and from now on by the monotonic clock. */
function retryFields(state: PlannedState, { wall, monotonic }: Now): Partial<Pick<AppStatus, "retryAt" | "retryInMs">> {
  if (state.kind === "applied" || state.retryAt === undefined) return {};
  const inMs = Math.round(state.retryAt - monotonic);
  return { retryAt: timestampFromMs(Math.round(wall) + inMs), retryInMs: BigInt(Math.max(0, inMs)) };
}

function pullFields(state: PlannedState): Pick<AppStatus, "pull"> | undefined {
  if (state.kind !== "working" || state.pull === undefined) return undefined;
  const { done, total } = state.pull;
  return { pull: create(PullProgressSchema, { doneBytes: BigInt(done), totalBytes: BigInt(total) }) };
}

function stateForMs(unit: string, { since, now }: StatusContext): bigint {
  return BigInt(Math.max(0, Math.round(now.monotonic - (since.get(unit) ?? now.monotonic))));
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

function containerStatus({ container, revision }: Owned, { stats, imageBytes }: StatusContext): ContainerStatus {
  const used = stats.get(container.id);
  return create(ContainerStatusSchema, {
    name: container.name,
    id: container.id,
    revision,
    state: PHASES[container.phase],
    health: HEALTHS[container.health],
    restarts: container.restartCount,
    image: container.image,
    imageId: container.imageId,
    imageBytes: BigInt(imageBytes.get(container.imageId) ?? 0),
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

const STEP_KINDS: Readonly<Record<StepName, StepKind>> = {
  config: StepKind.CONFIG,
  claim: StepKind.CLAIM,
  name: StepKind.NAME,
  ports: StepKind.PORTS,
  network: StepKind.NETWORK,
  remove_network: StepKind.NETWORK,
  image: StepKind.IMAGE,
  pull: StepKind.PULL,
  create: StepKind.CREATE,
  connect: StepKind.CONNECT,
  disconnect: StepKind.CONNECT,
  rename: StepKind.RENAME,
  stop: StepKind.STOP,
  start: StepKind.START,
  restart: StepKind.RESTART,
  remove: StepKind.REMOVE,
  remove_volume: StepKind.REMOVE,
  remove_image: StepKind.REMOVE,
  inspect: StepKind.INSPECT,
  health: StepKind.HEALTH,
  paused: StepKind.PAUSED,
  roll: StepKind.ROLL,
  run: StepKind.RUN,
};

const HEALTHS: Readonly<Record<Health, ContainerHealth>> = {
  none: ContainerHealth.UNSPECIFIED,
  starting: ContainerHealth.STARTING,
  healthy: ContainerHealth.HEALTHY,
  unhealthy: ContainerHealth.UNHEALTHY,
};

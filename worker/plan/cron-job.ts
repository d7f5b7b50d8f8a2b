import type { Cause, ScheduledCronJob } from "../../common/desired/desired.ts";
import { FailureCode } from "../../gen/nebula/v1/report_pb.ts";
import { cronJobLabels } from "../observed/labels.ts";
import { cronContainerName } from "../observed/names.ts";
import { cronJobUnit, isUp, type OwnedCronContainer } from "../observed/owned.ts";
import { endPauses, pauseNotes } from "./health.ts";
import { imageReadiness, type PullWish } from "./images/pull.ts";
import { isoTime, scheduleNotes } from "./memory/cron.ts";
import type { CronMemory } from "./memory/memory.ts";
import { connections, networkBlock } from "./networks.ts";
import { withStandingFailures } from "./standing.ts";
import { APPLIED, type CronJobState, failed, type StepName, type TargetState, working } from "./states.ts";
import { createKey, keyOf, NETWORK_KEY, pullKey, type Step } from "./step.ts";
import { earlier, standingFailure, type View } from "./view.ts";
import { DEFAULT_GRACE_SECONDS, inLane, NO_WORK, removalOf, removalsOf, stepsOf, together, type Work } from "./work.ts";

export type CronJobWork = Work & Readonly<{ state: CronJobState; wish: PullWish | undefined }>;

/** A finished run keeps its container, for its logs, until this number of newer ones exist. */
const KEPT_RUNS = 3;

type RunWork = Work & Readonly<{ wish?: PullWish | undefined; step: StepName }>;

/** The work for a cron_job in force: the pending run, and what is left of earlier ones. */
export function cronJobWork(job: ScheduledCronJob, containers: readonly OwnedCronContainer[], view: View): CronJobWork {
  const runs = newestFirst(containers);
  const memory = view.memory.cron.get(job.name);
  const pending = memory?.pending;
  const run: RunWork | undefined = pending === undefined ? undefined : inLane(cronJobUnit(job.name), runWork(job, pending, runs, view));
  const leftovers = runs.filter(({ container, due }, rank) => {
    if (due !== undefined && due === pending) return false;
    return container.phase === "created" || container.phase === "dead" || (!isUp(container.phase) && rank >= KEPT_RUNS);
  });
  const cleaning = removalsOf(leftovers, cronJobUnit(job.name), job.stopGraceSeconds, view);
  const work = together([cleaning, run ?? NO_WORK, endPauses(runs, cronJobUnit(job.name), view)]);
  const nextDue = memory?.nextDue;
  const awaited = run?.step === "network" ? [NETWORK_KEY] : [];
  const standing = withStandingFailures(stateOf(run, memory?.problem), { work, containers: runs, atOnce: [], awaited }, view);
  const dueIn = nextDue === undefined ? undefined : view.now.monotonic + Math.max(0, nextDue - view.now.wall);
  return {
    steps: work.steps,
    wakeAt: [work.wakeAt, standing.wakeAt, dueIn].reduce(earlier, undefined),
    state: {
      name: job.name,
      revision: job.revision,
      state: standing.state,
      reason: standing.state.kind === "failed" ? standing.state.reason : memory?.problem?.reason,
      notes: [
        ...job.notes,
        ...(memory === undefined ? [] : scheduleNotes(memory, view.now.wall)),
        ...exitNotes(runs),
        ...staleNotes(job, runs, view),
        ...pauseNotes(runs),
      ],
      containers: [...runs].reverse(),
      lastRunDue: runs[0]?.due ?? memory?.lastDue,
      nextRunDue: nextDue,
    },
    wish: run?.wish,
  };
}

/** The containers of a cron_job that is deleted or out of the group go. */
export function goneCronJobWork(name: string, revision: bigint, containers: readonly OwnedCronContainer[], view: View): CronJobWork {
  const work = removalsOf(containers, cronJobUnit(name), DEFAULT_GRACE_SECONDS, view);
  const { state, wakeAt } = withStandingFailures(containers.length === 0 ? APPLIED : working("remove"), { work, containers, atOnce: [] }, view);
  const reason = state.kind === "failed" ? state.reason : undefined;
  const shown = { ...plainState(name, revision, containers, state), reason };
  return { steps: work.steps, wakeAt: earlier(work.wakeAt, wakeAt), state: shown, wish: undefined };
}

/** A cron_job that is not acted upon. */
export function refusedCronJobWork(name: string, revision: bigint, { code, reason }: Cause, containers: readonly OwnedCronContainer[]): CronJobWork {
  return { ...NO_WORK, state: { ...plainState(name, revision, containers, failed("config", { code, reason })), reason }, wish: undefined };
}

function plainState(name: string, revision: bigint, containers: readonly OwnedCronContainer[], state: TargetState): CronJobState {
  const runs = newestFirst(containers);
  return { name, revision, state, reason: undefined, notes: [], containers: [...runs].reverse(), lastRunDue: runs[0]?.due, nextRunDue: undefined };
}

/** The next steps of the run that was due at `due`. */
function runWork(job: ScheduledCronJob, due: number, runs: readonly OwnedCronContainer[], view: View): RunWork {
  const unit = cronJobUnit(job.name);
  const mine = runs.find((run) => run.due === due);
  const others = runs.filter((run) => run !== mine && isUp(run.container.phase));
  if (job.overlap === "replace" && others.length > 0) return { ...removalsOf(others, unit, job.stopGraceSeconds, view), step: "stop" };
  return mine === undefined ? creation(job, due, runs, view) : beginning(job, due, mine, view);
}

function creation(job: ScheduledCronJob, due: number, runs: readonly OwnedCronContainer[], view: View): RunWork {
  const unit = cronJobUnit(job.name);
  const place = placeOf(job, due);
  const failure = standingFailure(view, createKey(place));
  if (failure !== undefined) return runFailed(job, due, failure);
  const block = networkBlock(job.spec, view);
  if (block?.state.kind === "failed") return runFailed(job, due, block.state);
  if (block !== undefined) return { ...NO_WORK, step: "network" };
  const image = imageReadiness(
    {
      unit,
      image: job.image,
      policy: job.pullPolicy,
      change: job.hash,
      attempt: attemptOf(job.hash, due),
      restartCount: 0n,
      isWanted: true,
      sameSpecExists: runs[0]?.specLabel === job.hash && !runs[0].isStale,
      isStale: false,
      isReplacing: false,
      restartsDone: undefined,
    },
    view,
  );
  const { use, wish } = image;
  if (use.kind === "waiting") return use.state.kind === "failed" ? runFailed(job, due, use.state) : { ...NO_WORK, step: "pull", wish };
  const { instance, boot } = view.identity;
  const { cluster } = view.desired;
  const labels = cronJobLabels(job.name, due, { instance, boot, cluster, revision: job.revision, hash: job.hash, isStale: use.isStale });
  const request = { name: cronContainerName(instance, job.name, due), spec: job.spec, labels };
  return { ...stepsOf({ kind: "create", unit, place, request }), step: "create" };
}

function beginning(job: ScheduledCronJob, due: number, mine: OwnedCronContainer, view: View): RunWork {
  const unit = cronJobUnit(job.name);
  const { id: containerId, phase } = mine.container;
  if (phase !== "created") return { ...NO_WORK, step: "start" };
  const start: Step = { kind: "start", unit, place: placeOf(job, due), containerId, ports: [], isExchange: false };
  const networks = connections(mine, job.spec, unit, view);
  const failure = standingFailure(view, keyOf(start)) ?? networks.waiting?.map((waiting) => standingFailure(view, waiting))[0];
  if (failure !== undefined) {
    return { ...together([removalOf(mine, unit, job.stopGraceSeconds, view), runFailed(job, due, failure)]), step: "start" };
  }
  return { ...together([networks, stepsOf(start)]), step: "start" };
}

function runFailed(job: ScheduledCronJob, due: number, { code, reason }: Cause): RunWork {
  const step: Step = {
    kind: "run_failed",
    unit: cronJobUnit(job.name),
    cronJob: job.name,
    due,
    code: code === FailureCode.OTHER ? FailureCode.RUN_FAILED : code,
    reason: `the run due at ${isoTime(due)} failed: ${reason}`,
  };
  return { ...stepsOf(step), step: "run" };
}

function stateOf(run: RunWork | undefined, problem: CronMemory["problem"]): TargetState {
  if (run !== undefined) return working(run.step);
  return problem?.kind === "failed" ? failed("run", problem) : APPLIED;
}

/** How the newest run that has ended, ended, where that was not well. */
function exitNotes(runs: readonly OwnedCronContainer[]): readonly string[] {
  const ended = runs.find(({ container }) => container.phase === "exited");
  const code = ended?.container.exitCode ?? 0;
  return ended === undefined || code === 0 ? [] : [`run ${ended.container.name} ended with exit code ${code}`];
}

/** That the newest run was made of the image on the device, because it could not be pulled. */
function staleNotes({ name }: ScheduledCronJob, [newest]: readonly OwnedCronContainer[], view: View): readonly string[] {
  if (newest?.isStale !== true) return [];
  const key = pullKey(cronJobUnit(name), attemptOf(newest.specLabel ?? "", newest.due ?? 0));
  const reason = view.memory.failures.get(key)?.reason ?? "it could not be pulled";
  return [`run ${newest.container.name} used the image on the device: ${reason}; the next run pulls again`];
}

function placeOf({ name }: ScheduledCronJob, due: number): string {
  return `${cronJobUnit(name)} ${due}`;
}

/** Each run pulls for itself. */
function attemptOf(hash: string, due: number): string {
  return `${hash} ${due}`;
}

function newestFirst(containers: readonly OwnedCronContainer[]): readonly OwnedCronContainer[] {
  return [...containers].sort((a, b) => (b.due ?? 0) - (a.due ?? 0) || b.container.createdAt - a.container.createdAt);
}

import type { Cause, Desired, ScheduledCronJob } from "../../../common/desired/desired.ts";
import { parseSchedule, type Schedule } from "../../../common/validation/cron-job.ts";
import type { Now } from "../../observed/observed.ts";
import { isUp, type Owned, type OwnedCronContainer } from "../../observed/owned.ts";
import type { CronMemory, Memory, MissedRuns } from "./memory.ts";

/** A run that could not be begun this long after it was due is a missed one. */
const MISSED_AFTER_MS = 60_000;
/** More missed runs are not counted: a clock may have been set forward by years. */
const MOST_MISSED = 100;
/** A clock that jumps back by less than this repeats no run; by more, it was wrong before, and what was seen under it counts for nothing. */
const LARGE_JUMP_MS = 2 * 60 * 60_000;

/** Considers the schedules of all cron_jobs. */
export function considerAll(cron: Memory["cron"], desired: Desired, owned: readonly Owned[], now: Now, lookMs: number): Memory["cron"] {
  const considered = new Map<string, CronMemory>();
  for (const job of desired.cronJobs) {
    if (job.kind !== "scheduled") continue;
    const runs = owned.filter((container) => container.kind === "cron_job").filter(({ cronJob }) => cronJob === job.name);
    considered.set(job.name, considerSchedule(cron.get(job.name), job, runs, now.wall, lookMs));
  }
  return considered;
}

/** The memory after a pending run failed. */
export function endRun(cron: Memory["cron"], name: string, due: number, { code, reason }: Cause): Memory["cron"] {
  const known = cron.get(name);
  if (known === undefined || known.pending !== due) return cron;
  return new Map([...cron, [name, { ...known, pending: undefined, problem: { kind: "failed", code, reason } }]]);
}

/**
 * Considers the due times since the last look: at most one, the newest, becomes the pending run. Missed runs are
 * counted, and not made up; a due time at or before the last one run is not run again.
 * @param runs the job's containers: their due times tell what was run before this worker's start
 * @param wall milliseconds since 1970
 * @param lookMs how long the look took that this is about: the worker's own time makes no run a missed one
 */
export function considerSchedule(
  before: CronMemory | undefined,
  job: ScheduledCronJob,
  runs: readonly OwnedCronContainer[],
  wall: number,
  lookMs: number,
): CronMemory {
  const timetable = `${job.schedule} ${job.timeZone ?? ""}`;
  const known = before?.timetable === timetable ? before : undefined;
  const missedUntil = wall - lookMs - MISSED_AFTER_MS;
  const isSane = (due: number) => due - wall < LARGE_JUMP_MS;
  const since = missedSince(before, known, job, runs);
  const considered = since !== undefined && isSane(since) ? since : wall;
  const dues = [before?.lastDue, ...runs.map((run) => run.due)].filter((due) => due !== undefined && isSane(due));
  const lastDue = dues.length === 0 ? undefined : Math.max(...dues.filter((due) => due !== undefined));
  const schedule = scheduleOf(job);
  const hasBegun = before?.pending !== undefined && isBegun(before.pending, runs);
  const carried = before === undefined ? halfMade(runs, wall, missedUntil) : before.pending;
  const pending = carried !== undefined && isSane(carried) && !hasBegun ? carried : undefined;
  const missed = job.running ? missedRuns(schedule, since, missedUntil) : undefined;
  const base: CronMemory = {
    timetable,
    considered: Math.max(considered, wall),
    lastDue,
    pending: job.running ? pending : undefined,
    problem: hasBegun ? undefined : before?.problem,
    missed: job.running ? (missed ?? before?.missed) : undefined,
    nextDue: job.running ? schedule?.next(Math.max(considered, wall)) : undefined,
  };
  const due = job.running ? newestDue(schedule, Math.max(considered, missedUntil), wall) : undefined;
  if (due === undefined || (lastDue !== undefined && due <= lastDue)) return base;
  const isBusy = pending !== undefined || runs.some(({ container }) => isUp(container.phase));
  if (isBusy && job.overlap === "skip") {
    return {
      ...base,
      missed,
      lastDue: due,
      problem: { kind: "skipped", reason: `the run due at ${isoTime(due)} was skipped: the one before still went on` },
    };
  }
  return { ...base, missed, lastDue: due, pending: due };
}

/** From when on runs may have been missed, milliseconds since 1970; undefined: not known. */
function missedSince(
  before: CronMemory | undefined,
  known: CronMemory | undefined,
  job: ScheduledCronJob,
  runs: readonly OwnedCronContainer[],
): number | undefined {
  if (before !== undefined) return known?.considered;
  // After a start only the newest run tells, where nothing of the job has changed since.
  const dues = runs.map((run) => (run.revision === job.revision ? (run.due ?? 0) : Number.POSITIVE_INFINITY));
  const newest = Math.max(...dues);
  return dues.length > 0 && Number.isFinite(newest) && newest > 0 ? newest : undefined;
}

function missedRuns(schedule: Schedule | undefined, since: number | undefined, until: number): MissedRuns | undefined {
  if (since === undefined || since >= until) return undefined;
  let count = 0;
  let newest: number | undefined;
  for (let due = schedule?.next(since); due !== undefined && due <= until; due = schedule?.next(due)) {
    if (++count > MOST_MISSED) return { count, newest: undefined };
    newest = due;
  }
  return count === 0 ? undefined : { count, newest };
}

/** Notes for the operator on a schedule that did not run as it says. @param wall milliseconds since 1970 */
export function scheduleNotes({ missed, considered }: CronMemory, wall: number): readonly string[] {
  const notes: string[] = [];
  if (missed?.newest === undefined && missed !== undefined) notes.push(`more than ${MOST_MISSED} runs were missed; they are not made up`);
  else if (missed?.newest !== undefined) {
    const runs = missed.count === 1 ? "1 run was" : `${missed.count} runs were`;
    notes.push(`${runs} missed, the newest due at ${isoTime(missed.newest)}: the worker or the engine was away, or the clock was set forward`);
  }
  if (considered - wall >= MISSED_AFTER_MS) notes.push(`the clock was set back: runs due until ${isoTime(considered)} are not repeated`);
  return notes;
}

/** A run whose container an earlier worker made and could not start any more, if that was just now. */
function halfMade(runs: readonly OwnedCronContainer[], wall: number, missedUntil: number): number | undefined {
  const isDue = (due: number) => due <= wall && due > missedUntil;
  return runs.find(({ container, due }) => container.phase === "created" && due !== undefined && isDue(due))?.due;
}

function scheduleOf({ schedule, timeZone }: ScheduledCronJob): Schedule | undefined {
  const parsed = parseSchedule(schedule, timeZone ?? "");
  return parsed.kind === "schedule" ? parsed.schedule : undefined;
}

/** The newest due time after one time and up to another. */
function newestDue(schedule: Schedule | undefined, after: number, until: number): number | undefined {
  let newest: number | undefined;
  for (let due = schedule?.next(after); due !== undefined && due <= until; due = schedule?.next(due)) newest = due;
  return newest;
}

/** Whether a run's container was started. */
function isBegun(due: number, runs: readonly OwnedCronContainer[]): boolean {
  return runs.some((run) => run.due === due && run.container.phase !== "created");
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

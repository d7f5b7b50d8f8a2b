import { parseSchedule, type Schedule } from "../common/validation/schedule.ts";
import type { CronMemory } from "./memory.ts";
import type { ScheduledCronJob } from "./model.ts";
import { isUp, type OwnedCronContainer } from "./owned.ts";

/** A run that could not be begun this long after it was due is a missed one. */
const MISSED_AFTER_MS = 60_000;
/** A clock that jumps back by less than this repeats no run; by more, it was wrong before, and what was seen under it counts for nothing. */
const LARGE_JUMP_MS = 2 * 60 * 60_000;

/**
 * Considers the due times since the last look: at most one, the newest, becomes the pending run. Missed runs are not made up; a due time at or before
 * the last one run is not run again.
 * @param runs the job's containers: their due times tell what was run before this worker's start
 * @param wall milliseconds since 1970
 */
export function considerSchedule(
  before: CronMemory | undefined,
  job: ScheduledCronJob,
  runs: readonly OwnedCronContainer[],
  wall: number,
): CronMemory {
  const timetable = `${job.schedule} ${job.timeZone ?? ""}`;
  const known = before?.timetable === timetable ? before : undefined;
  const isSane = (due: number) => due - wall < LARGE_JUMP_MS;
  const considered = known !== undefined && isSane(known.considered) ? known.considered : wall;
  const dues = [before?.lastDue, ...runs.map((run) => run.due)].filter((due) => due !== undefined && isSane(due));
  const lastDue = dues.length === 0 ? undefined : Math.max(...dues.filter((due) => due !== undefined));
  const schedule = scheduleOf(job);
  const hasBegun = before?.pending !== undefined && isBegun(before.pending, runs);
  const carried = before === undefined ? halfMade(runs, wall) : before.pending;
  const pending = carried !== undefined && isSane(carried) && !hasBegun ? carried : undefined;
  const base: CronMemory = {
    timetable,
    considered: Math.max(considered, wall),
    lastDue,
    pending: job.running ? pending : undefined,
    problem: hasBegun ? undefined : before?.problem,
    nextDue: job.running ? schedule?.next(Math.max(considered, wall)) : undefined,
  };
  const due = job.running ? newestDue(schedule, Math.max(considered, wall - MISSED_AFTER_MS), wall) : undefined;
  if (due === undefined || (lastDue !== undefined && due <= lastDue)) return base;
  const isBusy = pending !== undefined || runs.some(({ container }) => isUp(container.phase));
  if (isBusy && job.overlap === "skip") {
    return {
      ...base,
      lastDue: due,
      problem: { kind: "skipped", reason: `the run due at ${isoTime(due)} was skipped: the one before still went on` },
    };
  }
  return { ...base, lastDue: due, pending: due };
}

/** A run whose container an earlier worker made and could not start any more, if that was just now. */
function halfMade(runs: readonly OwnedCronContainer[], wall: number): number | undefined {
  const isDue = (due: number) => due <= wall && wall - due < MISSED_AFTER_MS;
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

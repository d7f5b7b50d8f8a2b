import type { AppStatus, ContainerStatus, CronJobStatus, Report } from "../gen/nebula/v1/report_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";

/** A config has to be answered within 10 s; while work on it goes on, so long is waited for its result. */
const ANSWER_AFTER_MS = 5000;
const FIRST_FLIP_WAIT_MS = 60_000;
const LONGEST_FLIP_WAIT_MS = 60 * 60_000;
/** More distinct states than this are not told apart from new ones. */
const MOST_SEEN = 200;

/** What was reported, as far as the next report depends on it. Times are milliseconds of the monotonic clock. */
export type Reported = Readonly<{
  /** What the newest report said of revisions; undefined: there was none. */
  revisions: string | undefined;
  state: string;
  /** States reported since the revisions last changed. */
  seen: ReadonlySet<string>;
  /** A state that was seen before is not reported again before this. */
  flipNotBefore: number;
  flips: number;
  /** When the newest report was sent. */
  at: number;
}>;

export const NOTHING_REPORTED: Reported = {
  revisions: undefined,
  state: "",
  seen: new Set(),
  flipNotBefore: 0,
  flips: 0,
  at: Number.NEGATIVE_INFINITY,
};

export type DampingContext = Readonly<{
  now: number;
  /** When the newest config came. */
  configAt: number;
  /** The longest time without a report. */
  intervalMs: number;
}>;

/**
 * When a report is due, milliseconds of the monotonic clock. What was applied is told at once. A state is told at once the first time; one that keeps
 * coming back (a crash loop) at most once a minute, then half as often each time, down to once an hour. Work that goes on is told only when the config
 * has to be answered.
 */
export function dueAt(report: Report, before: Reported, { now, configAt, intervalMs }: DampingContext): number {
  if (before.revisions === undefined) return now;
  const atLatest = before.at + intervalMs;
  if (revisionsOf(report) !== before.revisions) {
    // A new etag alone is answered by its result, if that comes soon enough.
    const isAnswer = appliedOf(report) !== before.revisions.split("\n")[0] || report.state !== TargetState.WORKING;
    return isAnswer ? now : Math.min(atLatest, configAt + ANSWER_AFTER_MS);
  }
  const state = stateOf(report);
  if (state === before.state) return atLatest;
  if (!before.seen.has(state) && before.seen.size < MOST_SEEN) return now;
  return Math.min(atLatest, Math.max(now, before.flipNotBefore));
}

/** What is known of the reports after this one was sent. */
export function reportedAfter(report: Report, before: Reported, now: number): Reported {
  const revisions = revisionsOf(report);
  const state = stateOf(report);
  if (revisions !== before.revisions) return { revisions, state, seen: new Set([state]), flipNotBefore: 0, flips: 0, at: now };
  if (state === before.state) return { ...before, at: now };
  const isFlip = before.seen.has(state) || before.seen.size >= MOST_SEEN;
  const flips = isFlip ? before.flips + 1 : before.flips;
  const waitMs = Math.min(LONGEST_FLIP_WAIT_MS, FIRST_FLIP_WAIT_MS * 2 ** Math.min(flips, 30));
  return { ...before, state, seen: new Set([...before.seen, state]), flips, flipNotBefore: now + waitMs, at: now };
}

/** Whether two reports tell the same, so that one may stand for the other. */
export function tellsTheSame(a: Report, b: Report): boolean {
  return revisionsOf(a) === revisionsOf(b) && stateOf(a) === stateOf(b);
}

function revisionsOf(report: Report): string {
  return [appliedOf(report), report.etag, `${report.cluster?.id}.${report.cluster?.epoch}`].join("\n");
}

function appliedOf(report: Report): string {
  return [...report.apps, ...report.cronJobs].map(({ name, appliedRevision }) => `${name}=${appliedRevision}`).join(" ");
}

/** What makes two reports differ: numbers that only grow, times and ids are left out. */
function stateOf(report: Report): string {
  return JSON.stringify([
    report.apps.map(targetState),
    report.cronJobs.map(targetState),
    report.problems.map(({ code }) => code),
    report.pruneId.toString(),
  ]);
}

function targetState(target: AppStatus | CronJobStatus): unknown {
  const step = "step" in target && target.state !== TargetState.WORKING ? target.step : "";
  return [target.name, String(target.revision), target.state, step, target.reason.replace(/\d+/g, "#"), target.containers.map(containerState)];
}

function containerState({ name, state, health }: ContainerStatus): unknown {
  return [name.replace(/\d{9,11}-1$/, "#"), state, health];
}

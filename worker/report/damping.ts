import { backoffMs } from "../../common/clock/backoff.ts";
import { type AppStatus, type ContainerStatus, type CronJobStatus, type Report, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { failedTargets, LONGEST_HOLD_MS } from "./hold.ts";

/** A config has to be answered within 10 s; while work on it continues, its result is awaited for this time. */
const ANSWER_AFTER_MS = 5000;
const FIRST_FLIP_WAIT_MS = 60_000;
const LONGEST_FLIP_WAIT_MS = 60 * 60_000;
/** A state that did not change for this time, or for twice its wait, does not flip any more. */
const CALM_MS = 5 * 60_000;
/** A pull that is under way is reported again after the first of these times, then each time after the second. */
const FIRST_PULL_WAIT_MS = 60_000;
const NEXT_PULL_WAIT_MS = 5 * 60_000;
/** Repairs after which nothing else differs are reported this time after the report before. */
const REPAIR_WAIT_MS = 5 * 60_000;
/** Sent with the next report; neither its start nor its end triggers one. */
const TRANSIENT_PROBLEM = "cluster_changed";
/** More distinct states than this count as new ones. */
const MOST_SEEN = 200;

/** The reports so far, as far as the next one depends on them. Times are milliseconds of the monotonic clock. */
export type Reported = Readonly<{
  /** The revisions in the newest report; undefined: there was none. */
  revisions: string | undefined;
  state: string;
  /** Targets that it called failed. */
  failed: ReadonlySet<string>;
  /** States reported since the revisions last changed, or since it was calm. */
  seen: ReadonlySet<string>;
  /** How often a state that was seen before was reported again. */
  flips: number;
  /** How many reports in a row told of a pull that is under way. */
  pulling: number;
  /** How many repairs it told of. */
  repairs: bigint;
  /** When the newest report was sent. */
  at: number;
}>;

export const NOTHING_REPORTED: Reported = {
  revisions: undefined,
  state: "",
  failed: new Set(),
  seen: new Set(),
  flips: 0,
  pulling: 0,
  repairs: 0n,
  at: Number.NEGATIVE_INFINITY,
};

export type DampingContext = Readonly<{
  now: number;
  /** When the newest config came that no report has answered; undefined: all are answered. */
  unansweredSince: number | undefined;
  /** The longest time without a report. */
  intervalMs: number;
}>;

/**
 * When a report is due, milliseconds of the monotonic clock. An applied revision is reported at once. A config is answered by its result, or after a while by the
 * work that goes on. A state is reported at once the first time, and once more when it comes back; one that keeps coming back (a crash loop) at most once a
 * minute, then half as often each time, down to once an hour. A failure never waits for longer than a minute, nor what
 * is well again for longer than five: the state that lasts is the one that is reported.
 */
export function dueAt(report: Report, before: Reported, { now, unansweredSince, intervalMs }: DampingContext): number {
  if (before.revisions === undefined) return now;
  const answerBy = unansweredSince === undefined ? Number.POSITIVE_INFINITY : unansweredSince + ANSWER_AFTER_MS;
  const atLatest = Math.min(before.at + intervalMs, answerBy, pullDueAt(report, before), repairDueAt(report, before));
  const isResult = report.state !== TargetState.WORKING;
  if (unansweredSince !== undefined && isResult) return now;
  if (revisionsOf(report) !== before.revisions) {
    return isResult || appliedOf(report) !== before.revisions.split("\n")[0] ? now : atLatest;
  }
  const state = stateOf(report);
  if (state === before.state) return atLatest;
  if (isNew(state, before) || isCalm(before, now)) return now;
  return Math.min(atLatest, Math.max(now, before.at + Math.min(flipWaitMs(before.flips), longestWaitMs(report, before))));
}

function pullDueAt(report: Report, { pulling, at }: Reported): number {
  return isPulling(report) ? at + (pulling <= 1 ? FIRST_PULL_WAIT_MS : NEXT_PULL_WAIT_MS) : Number.POSITIVE_INFINITY;
}

function repairDueAt({ repairs }: Report, before: Reported): number {
  return repairs === before.repairs ? Number.POSITIVE_INFINITY : before.at + REPAIR_WAIT_MS;
}

function isPulling({ apps }: Report): boolean {
  return apps.some(({ pull }) => pull !== undefined);
}

function longestWaitMs(report: Report, before: Reported): number {
  const failed = failedTargets(report);
  if (failed.difference(before.failed).size > 0) return FIRST_FLIP_WAIT_MS;
  return before.failed.difference(failed).size > 0 ? LONGEST_HOLD_MS : LONGEST_FLIP_WAIT_MS;
}

/**
 * The time for which a target must be well before it is no longer called failed: not at all the first times, longer the
 * more often it flips.
 */
export function holdMs({ flips }: Reported): number {
  return Math.min(LONGEST_HOLD_MS, flipWaitMs(flips));
}

/** Returns what is known of the reports after this one was sent. */
export function reportedAfter(report: Report, before: Reported, now: number): Reported {
  const revisions = revisionsOf(report);
  const state = stateOf(report);
  const failed = failedTargets(report);
  const pulling = isPulling(report) ? before.pulling + 1 : 0;
  const { repairs } = report;
  if (revisions !== before.revisions || isCalm(before, now))
    return { revisions, state, failed, seen: new Set([before.state, state]), flips: 0, pulling, repairs, at: now };
  if (state === before.state) return { ...before, pulling, repairs, at: now };
  return {
    ...before,
    state,
    failed,
    pulling,
    repairs,
    seen: new Set([...before.seen, state]),
    flips: before.flips + (isNew(state, before) ? 0 : 1),
    at: now,
  };
}

function isNew(state: string, { seen }: Reported): boolean {
  return !seen.has(state) && seen.size < MOST_SEEN;
}

function isCalm({ at, flips }: Reported, now: number): boolean {
  return now - at >= Math.max(CALM_MS, 2 * flipWaitMs(flips));
}

/** How long the next report of a state that was seen before has to wait. */
function flipWaitMs(flips: number): number {
  return flips === 0 ? 0 : backoffMs({ firstMs: FIRST_FLIP_WAIT_MS, longestMs: LONGEST_FLIP_WAIT_MS }, flips);
}

/** Whether two reports tell the same, so that one may stand for the other. */
export function tellsTheSame(a: Report, b: Report): boolean {
  return revisionsOf(a) === revisionsOf(b) && stateOf(a) === stateOf(b);
}

function revisionsOf(report: Report): string {
  return [appliedOf(report), report.etag, `${report.cluster?.id}.${report.cluster?.epoch}`].join("\n");
}

function appliedOf(report: Report): string {
  const applied = [...report.apps, ...report.cronJobs].filter(({ appliedRevision }) => appliedRevision > 0n);
  return applied.map(({ name, appliedRevision }) => `${name}=${appliedRevision}`).join(" ");
}

/** Returns the part of a report in which two can differ: numbers that only grow, times and ids are left out. */
function stateOf(report: Report): string {
  return JSON.stringify([
    report.apps.map(targetState),
    report.cronJobs.map(targetState),
    report.problems.map(({ code }) => code).filter((code) => code !== TRANSIENT_PROBLEM),
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

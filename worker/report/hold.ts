import { type AppStatus, type CronJobStatus, type Report, TargetState } from "../../gen/nebula/v1/report_pb.ts";

/** A target that has been well for this long, milliseconds, is well, however often it failed before. */
export const LONGEST_HOLD_MS = 5 * 60_000;

type Target = AppStatus | CronJobStatus;

/**
 * The newest failure of a target. `endedAt`: when it was first seen without, milliseconds of the monotonic clock;
 * undefined: it stands.
 */
type SeenFailure = Readonly<{ target: Target; endedAt: number | undefined }>;

/** By kind and name. */
export type SeenFailures = ReadonlyMap<string, SeenFailure>;

/**
 * The failures that are known after a device was seen like this. One of another revision, or from before a revision was
 * applied, counts no more.
 */
export function failuresAfter(report: Report, before: SeenFailures, now: number): SeenFailures {
  const after = new Map<string, SeenFailure>();
  for (const target of targetsOf(report)) {
    const known = before.get(keyOf(target));
    if (target.state === TargetState.FAILED) after.set(keyOf(target), { target, endedAt: undefined });
    else if (known !== undefined && isSameTry(known.target, target)) {
      const endedAt = known.endedAt ?? now;
      if (now - endedAt < LONGEST_HOLD_MS) after.set(keyOf(target), { ...known, endedAt });
    }
  }
  return after;
}

/**
 * A report in which each target that failed a short while ago still has that failure, and when that is over,
 * milliseconds of the monotonic clock: a crash loop is not applied between two crashes. @param holdMs for how long a
 * failure is held after its end
 */
export function withHeldFailures(
  report: Report,
  failures: SeenFailures,
  { holdMs, now }: Readonly<{ holdMs: number; now: number }>,
): Readonly<{ report: Report; until: number | undefined }> {
  let until: number | undefined;
  const hold = <T extends Target>(target: T): T => {
    const failure = failures.get(keyOf(target));
    if (failure?.endedAt === undefined || target.state === TargetState.FAILED || now - failure.endedAt >= holdMs) return target;
    until = Math.min(until ?? Number.POSITIVE_INFINITY, failure.endedAt + holdMs);
    const { state, reason, failureCode, stepKind } = failure.target;
    const more = "step" in failure.target && "step" in target ? { step: failure.target.step, tries: failure.target.tries } : {};
    return { ...target, state, reason, failureCode, stepKind, ...more };
  };
  const held = { ...report, apps: report.apps.map(hold), cronJobs: report.cronJobs.map(hold) };
  return { report: until === undefined ? report : { ...held, state: TargetState.FAILED }, until };
}

/** Names of the targets that have failed. */
export function failedTargets(report: Report): ReadonlySet<string> {
  return new Set(
    targetsOf(report)
      .filter(({ state }) => state === TargetState.FAILED)
      .map(keyOf),
  );
}

function targetsOf({ apps, cronJobs }: Report): readonly Target[] {
  return [...apps, ...cronJobs];
}

function isSameTry(a: Target, b: Target): boolean {
  return a.revision === b.revision && a.appliedRevision === b.appliedRevision;
}

function keyOf({ $typeName, name }: Target): string {
  return `${$typeName} ${name}`;
}

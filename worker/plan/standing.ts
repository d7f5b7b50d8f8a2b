import { FailureCode } from "../../gen/nebula/v1/report_pb.ts";
import type { Owned } from "../observed/owned.ts";
import type { Failure } from "./memory/memory.ts";
import { failed, type StepName, type TargetState } from "./states.ts";
import { containerKey, keyOf, type Step } from "./step.ts";
import { earlier, type View } from "./view.ts";
import type { Work } from "./work.ts";

/**
 * A step that keeps failing is reported after this number of tries, or this time after the first, milliseconds, if that
 * is earlier.
 */
const TOLD_TRIES = 3;
const TOLD_AFTER_MS = 30_000;
/** A container that stays in removal for this long, milliseconds, cannot be removed. */
const STUCK_REMOVAL_MS = 2 * 60_000;

/** An app or cron_job as far as its steps may fail. */
export type Target = Readonly<{
  work: Work;
  containers: readonly Owned[];
  /** Keys of steps whose failure is reported at once, and until a try succeeds. */
  atOnce: readonly string[];
  /** Keys of others' steps that it waits for. */
  awaited?: readonly string[];
}>;

/**
 * The state of a target, after those of its containers are decided: a step of it that keeps failing makes it failed,
 * with the step and the reason, though it would be working or applied otherwise. A failure counts only while its step
 * is wanted: it is to be done, under way, or waits.
 */
export function withStandingFailures(state: TargetState, target: Target, view: View): Readonly<{ state: TargetState; wakeAt: number | undefined }> {
  if (state.kind === "failed") return { state, wakeAt: undefined };
  const stuck = stuckRemoval(target.containers, view);
  if (stuck.state !== undefined) return { state: stuck.state, wakeAt: undefined };
  if (view.memory.failures.size === 0) return { state, wakeAt: stuck.wakeAt };
  const atOnce = new Set(target.atOnce);
  let { wakeAt } = stuck;
  for (const key of new Set([...target.atOnce, ...wantedKeys(target, view)])) {
    const failure = view.memory.failures.get(key);
    if (failure === undefined) continue;
    if (atOnce.has(key) || isTold(failure, view)) return { state: failedBy(failure, view), wakeAt: undefined };
    wakeAt = earlier(wakeAt, failure.since + TOLD_AFTER_MS);
  }
  return { state, wakeAt };
}

/** Keys of the steps that a target wants, has under way, or waits for. */
function wantedKeys({ work, containers, awaited = [] }: Target, { observed: { jobs } }: View): readonly string[] {
  const ids = containers.map(({ container }) => container.id);
  const ofStops = ids.filter((id) => jobs.stops.has(id)).flatMap((id) => [containerKey("stop", id), containerKey("restart", id)]);
  const ofLanes = ids.flatMap((id) => jobs.ownKeys.get(id) ?? []);
  const inspects = ids.map((id) => containerKey("inspect", id));
  return [...work.steps.map(keyOf), ...(work.waiting ?? []), ...ofStops, ...ofLanes, ...inspects, ...awaited];
}

function isTold({ step, tries, since }: Failure, { now }: View): boolean {
  return step === "create" || step === "start" || step === "unpause" || tries >= TOLD_TRIES || now.monotonic >= since + TOLD_AFTER_MS;
}

function failedBy({ step, code, reason, tries, notBefore }: Failure, { now }: View): TargetState {
  return failed(nameOf(step), { code, reason }, { tries, retryAt: notBefore > now.monotonic ? notBefore : undefined });
}

/** The name of a step in a state: steps that only differ in how they are done have one. */
export function nameOf(step: Step["kind"]): StepName {
  switch (step) {
    case "create_network":
      return "network";
    case "unpause":
      return "paused";
    case "join_pull":
    case "abort_pull":
      return "pull";
    case "adopt":
    case "give_up_volumes":
    case "forget_unit":
    case "prune_done":
      return "remove"; // notes in the memory, which cannot fail
    case "run_failed":
      return "run";
    default:
      return step;
  }
}

/** A container that the engine has begun to remove and does not get done with; otherwise when that would be so. */
function stuckRemoval(containers: readonly Owned[], view: View): Readonly<{ state: TargetState | undefined; wakeAt: number | undefined }> {
  let wakeAt: number | undefined;
  for (const { container } of containers) {
    const since = view.memory.removing.get(container.id);
    if (since === undefined) continue;
    const stuckAt = since + STUCK_REMOVAL_MS;
    if (view.now.monotonic >= stuckAt) {
      const reason = `container ${container.name} has been in removal for ${STUCK_REMOVAL_MS / 60_000} minutes; the engine does not get done with it`;
      return { state: failed("remove", { code: FailureCode.REMOVE_FAILED, reason }), wakeAt: undefined };
    }
    wakeAt = earlier(wakeAt, stuckAt);
  }
  return { state: undefined, wakeAt };
}

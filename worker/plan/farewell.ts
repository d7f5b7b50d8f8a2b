import { isUp, type Owned } from "../owned.ts";
import type { Step } from "../step.ts";
import { earlier, standingFailure, type View } from "./view.ts";

/**
 * Steps, and when to look again (monotonic milliseconds; undefined: whenever something happens).
 * `waiting`: keys of steps that are wanted, and wait because they failed a short while ago.
 */
export type Work = Readonly<{ steps: readonly Step[]; wakeAt: number | undefined; waiting?: readonly string[] }>;

export const NO_WORK: Work = { steps: [], wakeAt: undefined };

/** How long a container of an entity that is not known any more gets to end, seconds. */
export const DEFAULT_GRACE_SECONDS = 10;
/** Containers that the engine is about to have removed are looked at again after this time, and less often once that takes long. */
const REMOVING_LOOK_MS = 1000;
const STUCK_LOOK_MS = 60_000;
const STUCK_AFTER_MS = 2 * 60_000;

/** What is next on the way of a container out: stop it, or remove it once it has stopped. */
export function farewell({ container }: Owned, unit: string, graceSeconds: number, view: View): Work {
  const { id, phase } = container;
  if (view.observed.jobs.stops.has(id)) return NO_WORK;
  if (phase === "removing") return { steps: [], wakeAt: view.now.monotonic + removingLookMs(id, view) };
  const kind = isUp(phase) ? "stop" : "remove";
  const key = `${kind} ${id}`;
  const step: Step =
    kind === "stop" ? { kind, unit, key, containerId: id, graceSeconds } : { kind, unit, key, containerId: id, force: phase === "dead" };
  return unlessFailing(step, view);
}

function removingLookMs(id: string, { memory, now }: View): number {
  const since = memory.removing.get(id) ?? now.monotonic;
  return now.monotonic - since >= STUCK_AFTER_MS ? STUCK_LOOK_MS : REMOVING_LOOK_MS;
}

export function farewells(containers: readonly Owned[], unit: string, graceSeconds: number, view: View): Work {
  return together(containers.map((owned) => farewell(owned, unit, graceSeconds, view)));
}

/** A work whose steps are done in one lane. */
export function inLane<W extends Work>(lane: string, work: W): W {
  return { ...work, steps: work.steps.map((step) => ({ ...step, lane })) };
}

/** Several works, one after the other. */
export function together(works: readonly Work[]): Work {
  return {
    steps: works.flatMap(({ steps }) => steps),
    wakeAt: works.map(({ wakeAt }) => wakeAt).reduce(earlier, undefined),
    waiting: works.flatMap(({ waiting = [] }) => waiting),
  };
}

/** A step unless it failed a short while ago. */
export function unlessFailing(step: Step, view: View): Work {
  const failure = standingFailure(view, step.key);
  return failure === undefined ? { steps: [step], wakeAt: undefined } : { steps: [], wakeAt: failure.notBefore, waiting: [step.key] };
}

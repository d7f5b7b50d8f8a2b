import { isUp, type Owned } from "../owned.ts";
import type { Step } from "../step.ts";
import { earlier, standingFailure, type View } from "./view.ts";

/** Steps, and when to look again (monotonic milliseconds; undefined: whenever something happens). */
export type Work = Readonly<{ steps: readonly Step[]; wakeAt: number | undefined }>;

export const NO_WORK: Work = { steps: [], wakeAt: undefined };

/** How long a container of an entity that is not known any more gets to end, seconds. */
export const DEFAULT_GRACE_SECONDS = 10;
/** Containers that the engine is about to have removed are looked at again so soon. */
const REMOVING_LOOK_MS = 1000;

/** What is next on the way of a container out: stop it, or remove it once it has stopped. */
export function farewell({ container }: Owned, unit: string, graceSeconds: number, view: View): Work {
  const { id, phase } = container;
  if (view.observed.jobs.stops.has(id)) return NO_WORK;
  if (phase === "removing") return { steps: [], wakeAt: view.now.monotonic + REMOVING_LOOK_MS };
  const kind = isUp(phase) ? "stop" : "remove";
  const key = `${kind} ${id}`;
  const failure = standingFailure(view, key);
  if (failure !== undefined) return { steps: [], wakeAt: failure.notBefore };
  const step: Step =
    kind === "stop" ? { kind, unit, key, containerId: id, graceSeconds } : { kind, unit, key, containerId: id, force: phase === "dead" };
  return { steps: [step], wakeAt: undefined };
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
  return { steps: works.flatMap(({ steps }) => steps), wakeAt: works.map(({ wakeAt }) => wakeAt).reduce(earlier, undefined) };
}

/** A step unless it failed a short while ago. */
export function unlessFailing(step: Step, view: View): Work {
  const failure = standingFailure(view, step.key);
  return failure === undefined ? { steps: [step], wakeAt: undefined } : { steps: [], wakeAt: failure.notBefore };
}

import { isUp, type Owned } from "../observed/owned.ts";
import { keyOf, type Step } from "./step.ts";
import { earlier, standingFailure, type View } from "./view.ts";

/**
 * Steps, and when to look again (monotonic milliseconds; undefined: at the next event).
 * `waiting`: keys of steps that are wanted, and wait because they failed a short while ago.
 */
export type Work = Readonly<{ steps: readonly Step[]; wakeAt: number | undefined; waiting?: readonly string[] }>;

export const NO_WORK: Work = { steps: [], wakeAt: undefined };

/** The stop grace of a container whose entity is not known any more, seconds. */
export const DEFAULT_GRACE_SECONDS = 10;
/** A container that the engine is removing is looked at again after this time, and less often once that takes long. */
const REMOVING_LOOK_MS = 1000;
const STUCK_LOOK_MS = 60_000;
const STUCK_AFTER_MS = 2 * 60_000;

export function stepsOf(...steps: readonly Step[]): Work {
  return { steps, wakeAt: undefined };
}

/** A step, unless its last try failed and it backs off. */
export function unlessFailing(step: Step, view: View): Work {
  const key = keyOf(step);
  const failure = standingFailure(view, key);
  return failure === undefined ? stepsOf(step) : { steps: [], wakeAt: failure.notBefore, waiting: [key] };
}

/** Several works, one after the other. */
export function together(works: readonly Work[]): Work {
  return {
    steps: works.flatMap(({ steps }) => steps),
    wakeAt: works.map(({ wakeAt }) => wakeAt).reduce(earlier, undefined),
    waiting: works.flatMap(({ waiting = [] }) => waiting),
  };
}

/** A work whose steps run in one lane. */
export function inLane<W extends Work>(lane: string, work: W): W {
  return { ...work, steps: work.steps.map((step) => ({ ...step, lane })) };
}

/** The next step to get rid of a container: stop it, then remove it. */
export function removalOf({ container }: Owned, unit: string, graceSeconds: number, view: View): Work {
  const { id: containerId, phase, carriedVolumes } = container;
  if (view.observed.jobs.stops.has(containerId)) return NO_WORK;
  if (phase === "removing") return { steps: [], wakeAt: view.now.monotonic + removingLookMs(containerId, view) };
  if (isUp(phase)) return unlessFailing({ kind: "stop", unit, containerId, graceSeconds }, view);
  const volumes = (carriedVolumes ?? []).filter((volume) => view.memory.volumes.get(volume) !== containerId);
  if (volumes.length > 0) return stepsOf({ kind: "give_up_volumes", unit, containerId, volumes });
  return unlessFailing({ kind: "remove", unit, containerId, force: phase === "dead" }, view);
}

export function removalsOf(containers: readonly Owned[], unit: string, graceSeconds: number, view: View): Work {
  return together(containers.map((owned) => removalOf(owned, unit, graceSeconds, view)));
}

/** Removes the volumes of containers that the worker removed. A volume that another container has by now stays. */
export function volumesWork(view: View): Work {
  const left = [...view.memory.volumes].filter(([, containerId]) => !view.byId.has(containerId));
  return together(left.map(([volume]) => unlessFailing({ kind: "remove_volume", unit: `volume ${volume}`, volume }, view)));
}

function removingLookMs(id: string, { memory, now }: View): number {
  const since = memory.removing.get(id) ?? now.monotonic;
  return now.monotonic - since >= STUCK_AFTER_MS ? STUCK_LOOK_MS : REMOVING_LOOK_MS;
}

import type { Owned } from "../owned.ts";
import type { ObservedContainer } from "../runtime/container-runtime.ts";
import { NO_WORK, together, unlessFailing, type Work } from "./farewell.ts";
import type { View } from "./view.ts";

/** A container that somebody paused is left alone for this long, milliseconds: backups and `docker commit` pause what they copy. */
const PAUSE_MS = 2 * 60_000;

/** The restart of a container that is unhealthy; after repeated ones it waits. One that is paused is unpaused in time, and never restarted. */
export function mendHealth(owned: Owned, unit: string, graceSeconds: number, view: View): Work {
  const { id, phase, health } = owned.container;
  if (phase === "paused") return endPause(owned, unit, view);
  if (phase !== "running" || health !== "unhealthy" || view.observed.jobs.stops.has(id)) return NO_WORK;
  const notBefore = view.memory.healthRestarts.get(id)?.notBefore ?? 0;
  if (view.now.monotonic < notBefore) return { steps: [], wakeAt: notBefore };
  return unlessFailing({ kind: "restart", unit, key: `restart ${id}`, containerId: id, graceSeconds }, view);
}

/** Unpauses a container once its pause has lasted long enough. */
export function endPause({ container }: Owned, unit: string, view: View): Work {
  const { id, phase } = container;
  if (phase !== "paused" || view.observed.jobs.stops.has(id)) return NO_WORK;
  const endsAt = pauseEndsAt(container, view);
  if (view.now.monotonic < endsAt) return { steps: [], wakeAt: endsAt };
  return unlessFailing({ kind: "unpause", unit, key: `unpause ${id}`, containerId: id }, view);
}

export function endPauses(containers: readonly Owned[], unit: string, view: View): Work {
  return together(containers.map((owned) => endPause(owned, unit, view)));
}

/** One sentence for each container that somebody paused. */
export function pauseNotes(containers: readonly Owned[]): readonly string[] {
  return containers.flatMap(({ container: { name, phase } }) =>
    phase === "paused" ? [`container ${name} is paused; it is unpaused when it has been so for ${PAUSE_MS / 60_000} minutes`] : [],
  );
}

function pauseEndsAt({ id }: ObservedContainer, { memory, now }: View): number {
  return (memory.runs.get(id)?.pausedSince ?? now.monotonic) + PAUSE_MS;
}

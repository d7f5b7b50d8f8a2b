import type { Owned } from "../owned.ts";
import { NO_WORK, unlessFailing, type Work } from "./farewell.ts";
import type { View } from "./view.ts";

/** The restart of a container that is unhealthy, or paused by somebody; after repeated ones it waits. */
export function mendHealth({ container }: Owned, unit: string, graceSeconds: number, view: View): Work {
  const { id, phase, health } = container;
  const isSick = phase === "paused" || (phase === "running" && health === "unhealthy");
  if (!isSick || view.observed.jobs.stops.has(id)) return NO_WORK;
  const notBefore = view.memory.healthRestarts.get(id)?.notBefore ?? 0;
  if (view.now.monotonic < notBefore) return { steps: [], wakeAt: notBefore };
  return unlessFailing({ kind: "restart", unit, key: `restart ${id}`, containerId: id, graceSeconds }, view);
}

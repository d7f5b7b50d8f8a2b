import { normaliseImageReference } from "../../common/validation/image-reference.ts";
import type { ObservedImage } from "../runtime/container-runtime.ts";
import type { Step } from "../step.ts";
import { NO_WORK, type Work } from "./farewell.ts";
import type { DeviceProblem } from "./states.ts";
import type { View } from "./view.ts";

const UNIT = "images";

/**
 * Once the group's prune_id is above the one done last, and nothing else is left to do: removes, one by one, the images that no container uses and the
 * config does not name. The first config of a group only sets the mark.
 */
export function pruneWork(view: View, isIdle: boolean): Work & Readonly<{ problems: readonly DeviceProblem[] }> {
  const { cluster, deviceGroup, pruneId } = view.desired;
  const mark = view.memory.pruned;
  const isOurs = mark !== undefined && mark.deviceGroup === deviceGroup && mark.cluster.id === cluster.id && mark.cluster.epoch === cluster.epoch;
  const done: Step = { kind: "prune_done", unit: UNIT, key: "prune", cluster, deviceGroup, pruneId };
  if (!isOurs) return { steps: [done], wakeAt: undefined, problems: [] };
  const problems = failures(view, mark.pruneId < pruneId ? pruneId : mark.pruneId);
  if (mark.pruneId >= pruneId || !isIdle) return { ...NO_WORK, problems };
  const candidates = unusedImages(view).filter(({ id }) => !view.memory.failures.has(pruneKey(pruneId, id)));
  const steps = candidates.map((image): Step => {
    const key = pruneKey(pruneId, image.id);
    return { kind: "remove_image", unit: UNIT, key, imageId: image.id, image: image.references[0] ?? image.id };
  });
  return { steps: steps.length > 0 ? steps : [done], wakeAt: undefined, problems };
}

/** Images that no container uses, whoever's it is, and that the config does not name. */
export function unusedImages(view: View): readonly ObservedImage[] {
  const used = new Set(view.observed.containers.map(({ imageId }) => imageId));
  const usedReferences = new Set(view.observed.containers.map(({ image }) => normaliseImageReference(image)));
  const named = namedImages(view);
  const isNeeded = (reference: string) => named.has(reference) || usedReferences.has(reference);
  return view.observed.images.filter(({ id, references }) => !used.has(id) && !references.some(isNeeded));
}

/** Unused images each of whose tags the worker pulled: one that somebody else tagged may be removed by a prune only. */
export function unusedPulledImages(view: View): readonly ObservedImage[] {
  const pulled = new Set([...view.memory.imageHistory.values()].flatMap((history) => history.map(({ image }) => image)));
  return unusedImages(view).filter(({ references }) => references.every((reference) => reference.includes("@") || pulled.has(reference)));
}

/** The references that the config names, those of stopped and refused entries included. */
function namedImages({ desired }: View): ReadonlySet<string> {
  return new Set([...desired.apps, ...desired.cronJobs].flatMap((entry) => (entry.kind === "gone" ? [] : [entry.image])));
}

function failures(view: View, pruneId: bigint): readonly DeviceProblem[] {
  const prefix = pruneKey(pruneId, "");
  const reasons = [...view.memory.failures].filter(([key]) => key.startsWith(prefix)).map(([, { reason }]) => reason);
  const [first] = reasons;
  if (first === undefined) return [];
  return [{ code: "prune_failed", message: `${reasons.length} unused images could not be removed; the first: ${first}` }];
}

function pruneKey(pruneId: bigint, imageId: string): string {
  return `prune ${pruneId} ${imageId}`;
}

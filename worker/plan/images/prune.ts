import { normaliseImageReference } from "../../../common/validation/container/image-reference.ts";
import type { ObservedImage } from "../../runtime/container-runtime.ts";
import type { DeviceProblem } from "../states.ts";
import { imageRemovalKey, type Step } from "../step.ts";
import type { View } from "../view.ts";
import { NO_WORK, type Work } from "../work.ts";

/**
 * Runs when the group's prune_id is higher than the last one done, and no other work is left. The prune removes, one by one,
 * the images that no container uses and the config does not name. The first config of a group removes nothing: its
 * prune_id only counts as done.
 */
export function pruneWork(view: View, isIdle: boolean): Work & Readonly<{ problems: readonly DeviceProblem[] }> {
  const { cluster, deviceGroup, pruneId } = view.desired;
  const mark = view.memory.pruned;
  const isOurs = mark !== undefined && mark.deviceGroup === deviceGroup && mark.cluster.id === cluster.id && mark.cluster.epoch === cluster.epoch;
  const done: Step = { kind: "prune_done", unit: pruneUnit(pruneId), cluster, deviceGroup, pruneId };
  if (!isOurs) return { steps: [done], wakeAt: undefined, problems: [] };
  const problems = failures(view, mark.pruneId < pruneId ? pruneId : mark.pruneId);
  if (mark.pruneId >= pruneId || !isIdle) return { ...NO_WORK, problems };
  const candidates = unusedImages(view).filter(({ id }) => !view.memory.failures.has(imageRemovalKey(pruneUnit(pruneId), id)));
  const steps = candidates.map(
    ({ id, references }): Step => ({ kind: "remove_image", unit: pruneUnit(pruneId), imageId: id, image: references[0] ?? id }),
  );
  return { steps: steps.length > 0 ? steps : [done], wakeAt: undefined, problems };
}

/** Images that no container, owned or foreign, uses and that the config does not name. */
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
  const reasons = [...view.memory.failures.values()].filter(({ unit }) => unit === pruneUnit(pruneId)).map(({ reason }) => reason);
  const [first] = reasons;
  if (first === undefined) return [];
  return [{ code: "prune_failed", message: `${reasons.length} unused images could not be removed; the first: ${first}` }];
}

function pruneUnit(pruneId: bigint): string {
  return `prune ${pruneId}`;
}

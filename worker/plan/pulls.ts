import type { PullWanter } from "../model.ts";
import type { Step } from "../step.ts";
import type { Work } from "./farewell.ts";
import type { PullWish } from "./image.ts";
import { earlier, type View } from "./view.ts";

/** Pulls at the same time. */
const MOST_PULLS = 3;

/** Starts the pulls that are wished for, first come first served, one per image; ends those that nobody wants any more. */
export function pullWork(wishes: readonly PullWish[], view: View): Work {
  const { pulls } = view.observed.jobs;
  const wanted = new Set(wishes.map(({ wanter }) => wanter.failureKey));
  const aborts = pulls
    .filter(({ wanters, isEnding }) => !isEnding && !wanters.some(({ failureKey }) => wanted.has(failureKey)))
    .map(({ image }): Step => ({ kind: "abort_pull", unit: `image ${image}`, key: `abort ${image}`, image }));
  const underWay = new Set(pulls.map(({ image }) => image));
  const due = new Map<string, PullWanter[]>();
  let wakeAt: number | undefined;
  for (const { image, wanter, notBefore } of wishes) {
    if (underWay.has(image)) continue;
    if (notBefore > view.now.monotonic) wakeAt = earlier(wakeAt, notBefore);
    else due.set(image, [...(due.get(image) ?? []), wanter]);
  }
  const starts = [...due]
    .slice(0, Math.max(0, MOST_PULLS - pulls.length))
    .map(([image, wanters]): Step => ({ kind: "pull", unit: `image ${image}`, key: `pull ${image}`, image, wanters, present: view.imageIds }));
  return { steps: [...aborts, ...starts], wakeAt };
}

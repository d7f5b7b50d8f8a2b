import type { PullJob, PullWanter } from "../model.ts";
import { appUnit, cronJobUnit } from "../owned.ts";
import type { Step } from "../step.ts";
import type { Work } from "./farewell.ts";
import type { PullWish } from "./image.ts";
import { earlier, type View } from "./view.ts";

/** Pulls at the same time. */
const MOST_PULLS = 3;

/**
 * Starts the pulls that are wished for, first come first served, one per image. A pull under way is wanted by its image, whatever else of a spec has
 * changed meanwhile: other units join it, and it is aborted only when no unit names its image any more.
 */
export function pullWork(wishes: readonly PullWish[], view: View): Work {
  const { pulls } = view.observed.jobs;
  const wanted = wantedImages(wishes, view);
  const running = pulls.filter(({ isEnding }) => !isEnding);
  const aborts = running
    .filter(({ image }) => !wanted.has(image))
    .map(({ image }): Step => ({ kind: "abort_pull", unit: `image ${image}`, key: `abort ${image}`, image }));
  const joins = running.filter(({ image }) => wanted.has(image)).flatMap((job) => joining(job, wishes, view));
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
  return { steps: [...aborts, ...joins, ...starts], wakeAt };
}

/** The images of units that run, or that wish for a pull now. */
function wantedImages(wishes: readonly PullWish[], { desired }: View): ReadonlySet<string> {
  const apps = desired.apps.flatMap((app) => (app.kind === "running" && app.pullPolicy !== "never" ? [app.image] : []));
  const jobs = desired.cronJobs.flatMap((job) => (job.kind === "scheduled" && job.running && job.pullPolicy !== "never" ? [job.image] : []));
  return new Set([...wishes.map(({ image }) => image), ...apps, ...jobs]);
}

/** The units that a pull under way is for from now on, where they are not those that it knows of. */
function joining(job: PullJob, wishes: readonly PullWish[], view: View): readonly Step[] {
  const { image, startedAt } = job;
  const joined = wishes
    .filter((wish) => wish.image === image)
    .map(({ wanter }) => wanter)
    // A restart that was asked for after the pull began gets another one when this one has ended.
    .filter(({ restartedAt }) => restartedAt === undefined || restartedAt <= startedAt);
  const changes = currentChanges(view);
  const isKept = ({ unit, change, failureKey }: PullWanter) =>
    changes.get(unit) === change && !joined.some((other) => other.failureKey === failureKey);
  const wanters = [...job.wanters.filter(isKept), ...joined];
  const keys = (list: readonly PullWanter[]) => list.map(({ failureKey }) => failureKey).sort();
  if (JSON.stringify(keys(wanters)) === JSON.stringify(keys(job.wanters))) return [];
  return [{ kind: "join_pull", unit: `image ${image}`, key: `join ${image}`, image, wanters }];
}

/** By unit: the change of its spec as it is wanted now. */
function currentChanges({ desired }: View): ReadonlyMap<string, string> {
  const apps = desired.apps.flatMap((app): [string, string][] => (app.kind === "running" ? [[appUnit(app.name), app.change]] : []));
  const jobs = desired.cronJobs.flatMap((job): [string, string][] => (job.kind === "scheduled" ? [[cronJobUnit(job.name), job.hash]] : []));
  return new Map([...apps, ...jobs]);
}

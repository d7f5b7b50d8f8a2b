import type { PullPolicy } from "../../../common/desired/desired.ts";
import { needsPull } from "../../../common/desired/pull-need.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { PullJob, PullWanter } from "../../observed/observed.ts";
import { appUnit, cronJobUnit } from "../../observed/owned.ts";
import type { PullBytes } from "../../runtime/pull-progress.ts";
import { failed, type TargetState, working } from "../states.ts";
import { pullKey, type Step } from "../step.ts";
import { earlier, standingFailure, type View } from "../view.ts";
import type { Work } from "../work.ts";

/** A pull that a unit wants, now or from `notBefore` on. */
export type PullWish = Readonly<{ image: string; wanter: PullWanter; notBefore: number }>;

/**
 * Whether a container may be made of a unit's image now; `isStale`: of the image on the device, because it could not be
 * pulled.
 */
export type ImageUse = Readonly<{ kind: "ready"; isStale: boolean } | { kind: "waiting"; state: TargetState }>;

/**
 * The readiness of the image of a unit. The wish for a pull stays while a stale image is used. `stale`: the state of a unit that
 * runs, or is about to run, the image on the device because it could not be pulled; undefined: it does not.
 */
export type ImageReadiness = Readonly<{ use: ImageUse; wish: PullWish | undefined; wakeAt: number | undefined; stale: TargetState | undefined }>;

export type ImageQuestion = Readonly<{
  unit: string;
  image: string;
  policy: PullPolicy;
  change: string;
  /** Names one try: a failure of another does not count. */
  attempt: string;
  restartCount: bigint;
  /** A container is to be made now. */
  isWanted: boolean;
  /** A container of the same spec is there already: it is made again, not changed. */
  sameSpecExists: boolean;
  /**
   * A container of the same spec was made of the image on the device after a failed pull, and no pull has succeeded
   * since.
   */
  isStale: boolean;
  /** A container that a new one would take down is up. */
  isReplacing: boolean;
  /** The highest restart count that the unit's containers were made for; undefined: there are none. */
  restartsDone: bigint | undefined;
}>;

/** After this number of failed tries the image on the device takes the place of a container that runs. */
const TRIES_BEFORE_REPLACING = 2;

/** By default an image is pulled when the spec changes, and a container of the same spec is made again from what is on the device. */
export function imageReadiness(question: ImageQuestion, view: View): ImageReadiness {
  const { image, policy, isStale, isWanted, sameSpecExists } = question;
  const isLocal = view.images.has(image);
  const pulled = view.memory.pulled.get(question.unit);
  if (policy === "never" && !isLocal) {
    const reason = `image ${image} is not on the device, and pull_policy is never; load it, or change pull_policy`;
    return waiting(failed("image", { code: FailureCode.IMAGE_MISSING, reason }));
  }
  const isPulledForSpec = pulled !== undefined && pulled.change === question.change;
  const facts = { policy, isWanted, isStale, sameSpecExists, isLocal, isPulledForSpec, isUsed: pulled?.used === true };
  return needsPull(facts) ? pull(question, isLocal, view) : READY;
}

const READY: ImageReadiness = { use: { kind: "ready", isStale: false }, wish: undefined, wakeAt: undefined, stale: undefined };

/**
 * The image has to be pulled. Where that failed, the image of that tag on the device will do meanwhile, but not for a
 * restart.
 */
function pull(question: ImageQuestion, isLocal: boolean, view: View): ImageReadiness {
  const { unit, image, change, restartCount, attempt, isStale, isReplacing, policy } = question;
  const failureKey = pullKey(unit, attempt);
  const standing = standingFailure(view, failureKey);
  const failure = standing ?? view.memory.failures.get(failureKey);
  const restartedAt = restartedSince(question, view);
  const wanter = { unit, image, change, restartCount, failureKey, restartedAt };
  const wish = { image, wanter, notBefore: changeNotBefore(unit, change, view) };
  const next = { wish: standing === undefined ? wish : undefined, wakeAt: standing?.notBefore };
  if (isLocal && !isRestart(question, view) && (failure !== undefined || isStale)) {
    const reason = failure?.reason ?? "its container was made of the image on the device, because the image could not be pulled";
    const stale = working("image", {
      code: FailureCode.IMAGE_STALE,
      reason: `image stale: ${reason}`,
      tries: failure?.tries ?? 0,
      retryAt: standing?.notBefore,
    });
    const isDue = failure === undefined ? policy === "on_change" : !isReplacing || failure.tries >= TRIES_BEFORE_REPLACING;
    return { use: isDue ? { kind: "ready", isStale: true } : { kind: "waiting", state: stale }, ...next, stale };
  }
  if (failure === undefined) return { ...waiting(working("pull", { pull: bytesOf(image, view) })), ...next };
  return { ...waiting(failed("pull", failure, { tries: failure.tries, retryAt: standing?.notBefore })), ...next };
}

/** How far the pull of an image is; undefined: none is under way, or no size is known yet. */
function bytesOf(image: string, { observed: { jobs } }: View): PullBytes | undefined {
  const bytes = jobs.pulls.find((job) => job.image === image)?.bytes;
  return bytes === undefined || bytes.total === 0 ? undefined : bytes;
}

/** A restart or a redeploy is about the pull: the image that is on the device already is what is not wanted. */
function isRestart({ unit, restartCount, restartsDone }: ImageQuestion, view: View): boolean {
  const pulled = view.memory.pulled.get(unit)?.restartCount;
  const known = [pulled, restartsDone].filter((count) => count !== undefined);
  return known.length > 0 && known.every((count) => count < restartCount);
}

/** A pull that began before a restart was asked for is not the one that it asks for. */
function restartedSince(question: ImageQuestion, view: View): number | undefined {
  const known = view.memory.specSince.get(question.unit);
  return isRestart(question, view) ? known?.since : known?.restartedAt;
}

/** The random wait that spares the registry: a share of the longest wait that is the same at every look. */
function changeNotBefore(unit: string, change: string, view: View): number {
  const since = view.memory.specSince.get(unit)?.since ?? view.now.monotonic;
  return since + share(`${view.identity.boot} ${unit} ${change}`) * view.identity.maxRestartWaitMs;
}

/** A number from 0 up to 1 that a text decides (FNV-1a). */
function share(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash / 2 ** 32;
}

function waiting(state: TargetState): ImageReadiness {
  return { use: { kind: "waiting", state }, wish: undefined, wakeAt: undefined, stale: undefined };
}

/** Pulls at the same time. */
const MOST_PULLS = 3;

/**
 * Starts the pulls that are wished for, first come first served, one per image. A pull under way is wanted by its
 * image, also when other parts of a spec have changed meanwhile: other units join it, and it is aborted only when no unit names
 * its image any more.
 */
export function pullWork(wishes: readonly PullWish[], view: View): Work {
  const { pulls } = view.observed.jobs;
  const wanted = wantedImages(wishes, view);
  const running = pulls.filter(({ isEnding }) => !isEnding);
  const aborts = running.filter(({ image }) => !wanted.has(image)).map(({ image }): Step => ({ kind: "abort_pull", unit: `image ${image}`, image }));
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
    .map(([image, wanters]): Step => ({ kind: "pull", unit: `image ${image}`, image, wanters, present: view.imageIds }));
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
  return [{ kind: "join_pull", unit: `image ${image}`, image, wanters }];
}

/** By unit: the change of its spec as it is wanted now. */
function currentChanges({ desired }: View): ReadonlyMap<string, string> {
  const apps = desired.apps.flatMap((app): [string, string][] => (app.kind === "running" ? [[appUnit(app.name), app.change]] : []));
  const jobs = desired.cronJobs.flatMap((job): [string, string][] => (job.kind === "scheduled" ? [[cronJobUnit(job.name), job.hash]] : []));
  return new Map([...apps, ...jobs]);
}

import { assertNever } from "../../common/errors/assert-never.ts";
import type { PullPolicy, PullWanter } from "../model.ts";
import { failed, type TargetState } from "./states.ts";
import { standingFailure, type View } from "./view.ts";

/** A pull that a unit wants, now or from `notBefore` on. */
export type PullWish = Readonly<{ image: string; wanter: PullWanter; notBefore: number }>;

/** Whether a unit's image is there to make a container from. */
export type ImageReadiness = Readonly<
  { kind: "ready"; note: string | undefined } | { kind: "pull"; wish: PullWish } | { kind: "waiting"; state: TargetState; wakeAt: number | undefined }
>;

export type ImageQuestion = Readonly<{
  unit: string;
  image: string;
  policy: PullPolicy;
  change: string;
  /** Names one try: a failure of another does not count. */
  attempt: string;
  restartCount: bigint;
  /** A container of the same spec is there already: it is made again, not changed. */
  sameSpecExists: boolean;
  /** The highest restart count that the unit's containers were made for; undefined: there are none. */
  restartsDone: bigint | undefined;
}>;

function pullKey(unit: string, attempt: string): string {
  return `pull ${unit} ${attempt}`;
}

/** By default an image is pulled when the spec changes, and a container of the same spec is made again from what is on the device. */
export function imageReadiness(question: ImageQuestion, view: View): ImageReadiness {
  const { image, policy, change, unit } = question;
  const isLocal = view.images.has(image);
  const pulled = view.memory.pulled.get(unit);
  const isPulled = isLocal && pulled !== undefined && pulled.change === change;
  switch (policy) {
    case "never":
      if (isLocal) return ready(undefined);
      return waiting(failed("image", `image ${image} is not on the device, and pull_policy is never; load it, or change pull_policy`));
    case "missing":
      return isLocal ? ready(undefined) : pull(question, isLocal, view);
    case "always":
      return isPulled && !pulled.used ? ready(pulled.note) : pull(question, isLocal, view);
    case "on_change":
      if (isPulled) return ready(pulled.note);
      return question.sameSpecExists && isLocal ? ready(undefined) : pull(question, isLocal, view);
    default:
      return assertNever(policy);
  }
}

function pull(question: ImageQuestion, isLocal: boolean, view: View): ImageReadiness {
  const { unit, image, change, restartCount, attempt } = question;
  const failureKey = pullKey(unit, attempt);
  const wanter = { unit, image, change, restartCount, failureKey, fallback: isLocal && !isRestart(question, view) };
  const failure = standingFailure(view, failureKey);
  if (failure !== undefined) {
    return waiting(failed("pull", failure.reason, { tries: failure.tries, retryAt: failure.notBefore }), failure.notBefore);
  }
  return { kind: "pull", wish: { image, wanter, notBefore: changeNotBefore(unit, change, view) } };
}

/** A restart or a redeploy is about the pull: the image that is on the device already is what is not wanted. */
function isRestart({ unit, restartCount, restartsDone }: ImageQuestion, view: View): boolean {
  const pulled = view.memory.pulled.get(unit)?.restartCount;
  const known = [pulled, restartsDone].filter((count) => count !== undefined);
  return known.length > 0 && known.every((count) => count < restartCount);
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

function ready(note: string | undefined): ImageReadiness {
  return { kind: "ready", note };
}

function waiting(state: TargetState, wakeAt?: number): ImageReadiness {
  return { kind: "waiting", state, wakeAt };
}

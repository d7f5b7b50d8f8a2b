import { type Backoff, backoffMs } from "../../../common/clock/backoff.ts";
import type { HostPort } from "../../../common/desired/container-spec.ts";
import { portsCollide } from "../../../common/desired/host-ports.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { Now, Observed } from "../../observed/observed.ts";
import { isUp } from "../../observed/owned.ts";
import { familiarReference } from "../../runtime/docker/reference.ts";
import { containerKey, type Step } from "../step.ts";
import { failureCodeOf, type Refusal } from "./failure-code.ts";
import type { Failure, Memory } from "./memory.ts";

/** A failure is forgotten this long after its next try was due, if no step tried again. */
const FORGET_FAILURE_MS = 2 * 60 * 60_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A start that took a working container down must not be tried often. */
const EXCHANGE_START: Backoff = { firstMs: MINUTE_MS, longestMs: HOUR_MS };
/** Where nothing runs there is nothing to protect: a missing device, or a full disk, may pass. */
const BARE_START: Backoff = { firstMs: 5000, longestMs: MINUTE_MS };
/** The first wait lets a registry recover, the longest keeps a fleet from hammering one. */
const PULL: Backoff = { firstMs: 15_000, longestMs: 15 * MINUTE_MS };
const HEALTH_RESTART: Backoff = { firstMs: MINUTE_MS, longestMs: HOUR_MS };
const OTHER: Backoff = { firstMs: 5000, longestMs: 10 * MINUTE_MS };

/** An image that a registry does not have, or refuses, seldom becomes available within minutes. */
const HOPELESS_PULL: Backoff = { firstMs: 15_000, longestMs: HOUR_MS };
const HOPELESS: ReadonlySet<FailureCode> = new Set([FailureCode.PULL_LOGIN, FailureCode.PULL_NOT_FOUND, FailureCode.PULL_PLATFORM]);

/** How long a step other than a pull waits after it failed for the `tries`th time, milliseconds. */
function failureWaitMs(step: Readonly<{ kind: Step["kind"]; isExchange?: boolean }>, tries: number): number {
  if (step.kind === "start") return backoffMs(step.isExchange === true ? EXCHANGE_START : BARE_START, tries);
  return backoffMs(OTHER, tries);
}

/** How long an unhealthy container is left alone after its `count`th restart, milliseconds. */
export function healthRestartWaitMs(count: number): number {
  return backoffMs(HEALTH_RESTART, count);
}

/** The details of a failure that is neither that of a start nor that of a pull. */
const NO_DETAILS = { ports: [], holders: undefined, containerId: undefined, isOfPlace: false, pulled: undefined } as const;

export function failureOf(before: Failure | undefined, step: Step, refusal: Refusal, now: Now): Failure {
  const tries = (before?.tries ?? 0) + 1;
  return {
    ...NO_DETAILS,
    step: step.kind,
    unit: step.unit,
    tries,
    since: before?.since ?? now.monotonic,
    notBefore: now.monotonic + failureWaitMs(step, tries),
    code: failureCodeOf(step.kind, refusal),
    reason: refusal.reason,
    ports: step.kind === "start" ? step.ports : [],
    containerId: "containerId" in step ? step.containerId : undefined,
    isOfPlace: "place" in step && step.place !== undefined,
  };
}

export function pullFailure(before: Failure | undefined, unit: string, image: string, refusal: Refusal, now: Now): Failure {
  const tries = (before?.tries ?? 0) + 1;
  const code = failureCodeOf("pull", refusal);
  return {
    ...NO_DETAILS,
    step: "pull",
    unit,
    tries,
    since: before?.since ?? now.monotonic,
    notBefore: now.monotonic + backoffMs(HOPELESS.has(code) ? HOPELESS_PULL : PULL, tries),
    code,
    reason: `image ${familiarReference(image)} can't be pulled: ${refusal.reason}`,
    pulled: image,
  };
}

/** An inspect that failed in a look is the first try of a job's. */
export function withFailedInspects(failures: Memory["failures"], { containers }: Observed, now: Now): Memory["failures"] {
  const failed = containers.filter(({ id, listedOnly }) => listedOnly?.failure !== undefined && !failures.has(containerKey("inspect", id)));
  if (failed.length === 0) return failures;
  const entries = failed.map(({ id, listedOnly }): [string, Failure] => {
    const wait = { tries: 1, since: now.monotonic, notBefore: now.monotonic + failureWaitMs({ kind: "inspect" }, 1) };
    return [
      containerKey("inspect", id),
      { ...wait, ...NO_DETAILS, step: "inspect", unit: "", code: FailureCode.INSPECT_FAILED, reason: listedOnly?.failure ?? "", containerId: id },
    ];
  });
  return new Map([...failures, ...entries]);
}

/**
 * Forgets what is long past, or about a container that is gone, and notes who holds the ports of a start that was
 * refused since the last look.
 */
export function currentFailures(failures: Memory["failures"], observed: Observed, now: Now): Memory["failures"] {
  const ids = new Set(observed.containers.map(({ id }) => id));
  const isGone = ({ containerId, isOfPlace }: Failure) => containerId !== undefined && !ids.has(containerId) && !isOfPlace;
  const kept = [...failures].filter(([, failure]) => now.monotonic < failure.notBefore + FORGET_FAILURE_MS && !isGone(failure));
  return new Map(
    kept.map(([key, failure]) => [
      key,
      failure.holders === undefined ? { ...failure, holders: holdersNow(failure.ports, failure.containerId, observed) } : failure,
    ]),
  );
}

function holdersNow(ports: readonly HostPort[], except: string | undefined, { containers }: Observed): readonly string[] {
  const isAsked = (held: HostPort) => ports.some((port) => portsCollide(port, held));
  return containers.filter(({ id, phase, hostPorts }) => id !== except && isUp(phase) && hostPorts.some(isAsked)).map(({ id }) => id);
}

/** An image was removed: no pull waits that found no space before. */
export function withRoom({ failures, imageIds }: Memory, { images }: Observed): Memory["failures"] {
  const ids = new Set(images.map(({ id }) => id));
  if ([...imageIds].every((id) => ids.has(id))) return failures;
  return new Map([...failures].filter(([, { pulled, code }]) => pulled === undefined || code !== FailureCode.NO_SPACE));
}

/** Images whose last pull failed with this code. */
export function imagesRefused({ failures }: Memory, refusal: FailureCode): readonly string[] {
  return [...new Set([...failures.values()].flatMap(({ pulled, code }) => (pulled !== undefined && code === refusal ? [pulled] : [])))];
}

/** The login for this image is another one now: no pull waits for what was refused with the one before. */
export function rememberNewLogin(memory: Memory, image: string): Memory {
  return { ...memory, failures: new Map([...memory.failures].filter(([, { pulled, code }]) => code !== FailureCode.PULL_LOGIN || pulled !== image)) };
}

import type { Desired } from "../../../common/desired/desired.ts";
import type { ClusterIdentity } from "../../../common/storage/config-store.ts";
import { LABEL } from "../../observed/labels.ts";
import type { Now, Observed, WorkerIdentity } from "../../observed/observed.ts";
import { appUnit, cronJobUnit, isUp, type Owned } from "../../observed/owned.ts";
import type { CreateRequest, ObservedContainer } from "../../runtime/container-runtime.ts";
import { compareClusters } from "../held-back.ts";
import type { AppState, CronJobState, DeviceStates } from "../states.ts";
import { keyOf, type Step, type StepOutcome } from "../step.ts";
import { considerAll, endRun } from "./cron.ts";
import { markUsed, rememberPull, unitsGone, withoutImage, withoutUnit, withPulledImages } from "./images.ts";
import type { Applied, Memory, RunWatch, SpecSince } from "./memory.ts";
import { currentFailures, failureOf, healthRestartWaitMs, withFailedInspects, withRoom } from "./retry.ts";

/** How long nothing is done after a container of another worker of this instance was seen. */
const QUIET_MS = 5 * 60_000;
/** A container that was healthy for this time is restarted after the shortest wait again. */
const CALM_MS = 10 * 60_000;
/** An image that could not be removed in this number of tries stays on the device, and is not tried again. */
const REMOVAL_TRIES = 3;

/** Notes since when a spec is desired. */
export function rememberDesired(memory: Memory, desired: Desired, now: Now): Memory {
  const specSince = new Map<string, SpecSince>();
  const failures = new Map(memory.failures);
  const note = (unit: string, change: string, restartCount: bigint) => {
    const before = memory.specSince.get(unit);
    const restartedAt = before !== undefined && before.restartCount < restartCount ? now.monotonic : before?.restartedAt;
    specSince.set(unit, before?.change === change ? before : { change, since: now.monotonic, restartCount, restartedAt });
    if (before === undefined || before.change === change) return;
    for (const [key, failure] of failures) if (failure.step === "pull" && failure.unit === unit) failures.delete(key); // a new spec is tried at once
  };
  for (const app of desired.apps) if (app.kind === "running") note(appUnit(app.name), app.change, app.restartCount);
  for (const job of desired.cronJobs) if (job.kind === "scheduled") note(cronJobUnit(job.name), job.hash, 0n);
  return { ...memory, specSince, failures };
}

/**
 * Remembers what the worker sees: since when containers run, who else makes some, which runs of cron_jobs
 * are due.
 * @param lookMs how long the look took that ended now
 */
export function rememberObserved(
  memory: Memory,
  desired: Desired | undefined,
  observed: Observed,
  identity: WorkerIdentity,
  now: Now,
  lookMs: number,
): Memory {
  const { owned, foreignCluster } = observed.classified;
  const ids = new Set(observed.containers.map(({ id }) => id));
  const runs = new Map(
    observed.containers
      .filter(({ phase }) => isUp(phase))
      .map((container) => [container.id, watchRun(memory.runs.get(container.id), container, observed.exits.get(container.id), now)]),
  );
  const engineStart = memory.engineStart ?? { clock: observed.engine.clock, at: now };
  const quietUntil = isSecondWorker({ ...memory, engineStart }, owned, identity, now) ? now.monotonic + QUIET_MS : memory.quietUntil;
  const isQuiet = now.monotonic < quietUntil;
  return {
    ...memory,
    runs,
    removing: new Map(
      observed.containers.filter(({ phase }) => phase === "removing").map(({ id }) => [id, memory.removing.get(id) ?? now.monotonic]),
    ),
    quietUntil,
    engineStart,
    seenIds: new Set([...owned, ...foreignCluster].map(({ container }) => container.id)),
    failures: currentFailures(withFailedInspects(withRoom(memory, observed), observed, now), observed, now),
    imageIds: new Set(observed.images.map(({ id }) => id)),
    healthRestarts: calmed(memory, runs, ids, now),
    adopted: presentOnly(memory.adopted, ids),
    cron: isQuiet || desired === undefined ? memory.cron : considerAll(memory.cron, desired, owned, now, lookMs),
    ...withPulledImages(memory, observed, owned),
    ...(desired !== undefined && unitsGone(memory, desired, owned, now)),
  };
}

/** Notes the outcome of a step. */
export function rememberOutcome(memory: Memory, step: Step, outcome: StepOutcome, now: Now): Memory {
  if (outcome.kind === "aborted") return memory;
  const failures = new Map(memory.failures);
  const key = keyOf(step);
  if (outcome.kind === "failed") failures.set(key, failureOf(memory.failures.get(key), step, outcome, now));
  else failures.delete(key);
  const after = { ...memory, failures };
  switch (step.kind) {
    case "pull":
      return step.wanters.reduce((known, wanter) => rememberPull(known, wanter, step.present, outcome, now), memory);
    case "create":
      return outcome.kind === "done"
        ? rememberCreated({ ...after, pulled: markUsed(memory.pulled, step.unit) }, step.request, outcome.created)
        : after;
    case "restart":
      return outcome.kind === "done" ? { ...after, healthRestarts: countRestart(memory, step.containerId, now) } : after;
    case "adopt":
      return { ...after, adopted: new Map([...memory.adopted, [step.containerId, step.spec]]) };
    case "give_up_volumes":
      return { ...after, volumes: new Map([...memory.volumes, ...step.volumes.map((volume) => [volume, step.containerId] as const)]) };
    case "remove_volume":
      if (outcome.kind === "failed") return after;
      return { ...after, volumes: new Map([...memory.volumes].filter(([volume]) => volume !== step.volume)) };
    case "prune_done":
      return { ...after, pruned: { cluster: step.cluster, deviceGroup: step.deviceGroup, pruneId: step.pruneId } };
    case "run_failed":
      return { ...after, cron: endRun(memory.cron, step.cronJob, step.due, step) };
    case "forget_unit":
      return withoutUnit(after, step.unit, step.heirs);
    case "remove_image":
      if (outcome.kind === "failed" && (failures.get(key)?.tries ?? 0) < REMOVAL_TRIES) return after;
      return { ...after, imageHistory: withoutImage(memory.imageHistory, step.imageId) };
    default:
      return after;
  }
}

/**
 * Counts the outcome of a step if it put a container of an app right though the config had not changed: the revision that is desired had been applied before. A
 * container that is made again counts at its start, once.
 */
export function countRepair(memory: Memory, step: Step, outcome: StepOutcome, desired: Desired | undefined): Memory {
  if (outcome.kind !== "done" || (step.kind !== "start" && step.kind !== "restart")) return memory;
  const app = desired?.apps.find(({ name }) => appUnit(name) === step.unit);
  const isApplied = app?.kind === "running" && memory.applied?.revisions.get(step.unit) === app.revision;
  return isApplied ? { ...memory, repairs: memory.repairs + 1 } : memory;
}

/**
 * The revisions that are applied now: those before, if they are of this cluster, and those of targets that a plan found
 * fully as wanted.
 */
export function appliedAfter(before: Applied | undefined, { apps, cronJobs }: DeviceStates, cluster: ClusterIdentity): Applied {
  const known = before !== undefined && compareClusters(before.cluster, cluster) === "same" ? before : undefined;
  const entries = (targets: readonly (AppState | CronJobState)[], unitOf: (name: string) => string) =>
    targets.map((target): [string, bigint] => [unitOf(target.name), appliedOf(known?.revisions.get(unitOf(target.name)), target, cluster)]);
  const revisions = new Map([...entries(apps, appUnit), ...entries(cronJobs, cronJobUnit)]);
  const isSame = revisions.size === known?.revisions.size && [...revisions].every(([unit, revision]) => known.revisions.get(unit) === revision);
  return known !== undefined && isSame ? known : { cluster, revisions };
}

/** Where nothing is known but what labels tell: the oldest revision that a container was made for. */
function appliedOf(before: bigint | undefined, { state, revision, containers }: AppState | CronJobState, cluster: ClusterIdentity): bigint {
  if (state.kind === "applied") return revision;
  if (before !== undefined) return before;
  const ours = containers.filter((owned) => owned.cluster !== undefined && compareClusters(owned.cluster, cluster) === "same");
  return (
    ours
      .map((owned) => owned.revision)
      .reduce<bigint | undefined>((least, made) => (least === undefined || made < least ? made : least), undefined) ?? 0n
  );
}

/**
 * A container that this worker made for an app is known by its id: it need not be inspected to be distinguished from one with
 * copied labels.
 */
function rememberCreated(memory: Memory, { labels }: CreateRequest, id: string | undefined): Memory {
  const spec = labels[LABEL.spec];
  if (id === undefined || spec === undefined || labels[LABEL.appName] === undefined) return memory;
  return { ...memory, adopted: new Map([...memory.adopted, [id, spec]]) };
}

function countRestart(memory: Memory, containerId: string, now: Now): Memory["healthRestarts"] {
  const count = (memory.healthRestarts.get(containerId)?.count ?? 0) + 1;
  return new Map([...memory.healthRestarts, [containerId, { count, notBefore: now.monotonic + healthRestartWaitMs(count) }]]);
}

/**
 * A container that has come to our instance since the last look, and that another start of a worker made after this
 * one's. The engine dates a container at the beginning of its create: one that an earlier worker left in flight is
 * older than this start, however late it shows.
 */
function isSecondWorker({ seenIds, engineStart }: Memory, owned: readonly Owned[], { boot }: WorkerIdentity, now: Now): boolean {
  if (seenIds === undefined || engineStart === undefined) return false;
  const { clock, at } = engineStart;
  const start = clock + (now.wall - at.wall) - (now.monotonic - at.monotonic); // the machine's clock may have been set since
  return owned.some(
    ({ container, original, boot: madeBy }) => !original && madeBy !== boot && !seenIds.has(container.id) && container.createdAt >= start,
  );
}

function watchRun(before: RunWatch | undefined, container: ObservedContainer, eventExitCode: number | undefined, now: Now): RunWatch {
  if (container.listedOnly !== undefined && before !== undefined) return before; // no list tells of restarts
  const { startedAt, restartCount, phase, exitCode, health } = container;
  const isSame = before !== undefined && before.startedAt === startedAt && before.restartCount === restartCount && phase === "running";
  const wasRestarted = before !== undefined && (before.restartCount < restartCount || phase === "restarting");
  return {
    since: isSame ? before.since : now.monotonic,
    startedAt,
    restartCount,
    foundRestarted: before?.foundRestarted ?? (phase === "restarting" || restartCount > 0),
    restartsSeen: (before?.restartsSeen ?? 0) + (wasRestarted ? 1 : 0),
    exitCode: exitCode ?? eventExitCode ?? before?.exitCode,
    outOfMemory: phase === "running" ? before?.outOfMemory : container.outOfMemory,
    pausedSince: phase === "paused" ? (before?.pausedSince ?? now.monotonic) : undefined,
    healthySince: health === "healthy" ? (before?.healthySince ?? now.monotonic) : undefined,
  };
}

function calmed(memory: Memory, runs: ReadonlyMap<string, RunWatch>, ids: ReadonlySet<string>, now: Now): Memory["healthRestarts"] {
  if (memory.healthRestarts.size === 0) return memory.healthRestarts;
  const isCalm = (id: string) => now.monotonic - (runs.get(id)?.healthySince ?? now.monotonic) >= CALM_MS;
  return new Map([...memory.healthRestarts].filter(([id]) => ids.has(id) && !isCalm(id)));
}

function presentOnly(map: Memory["adopted"], ids: ReadonlySet<string>): Memory["adopted"] {
  return [...map.keys()].every((id) => ids.has(id)) ? map : new Map([...map].filter(([id]) => ids.has(id)));
}

import type { ErrorKind } from "../common/errors/nebula-error.ts";
import { failureWaitMs, healthRestartWaitMs, pullWaitMs } from "./backoff.ts";
import { considerSchedule } from "./cron.ts";
import { portsCollide } from "./host-ports.ts";
import { LABEL } from "./labels.ts";
import { type CronMemory, type Failure, inspectKey, type Memory, type PullRefusal, type RunWatch, type SpecSince } from "./memory.ts";
import type { Desired, Now, Observed, PullWanter, WorkerIdentity } from "./model.ts";
import { appUnit, cronJobUnit, isUp, type Owned } from "./owned.ts";
import { pullKeys } from "./plan/image.ts";
import type { CreateRequest, HostPort, ObservedContainer } from "./runtime/container-runtime.ts";
import { familiarReference } from "./runtime/docker-reference.ts";
import type { Heir, Step, StepOutcome } from "./step.ts";

/** How long nothing is done after a container of another worker of this instance was seen. */
const QUIET_MS = 5 * 60_000;
/** A failure is forgotten when nobody tried again for so long after it might have. */
const FORGET_FAILURE_MS = 2 * 60 * 60_000;
/** A container that was healthy for so long starts again with the shortest wait. */
const CALM_MS = 10 * 60_000;
const MOST_IMAGES_KEPT = 20;
const HOUR_MS = 60 * 60_000;
/** An image that could not be removed in this number of tries stays on the device, and is not tried again. */
const REMOVAL_TRIES = 3;

/** What the worker remembers of what is wanted: since when. */
export function rememberDesired(memory: Memory, desired: Desired, now: Now): Memory {
  const specSince = new Map<string, SpecSince>();
  const failures = new Map(memory.failures);
  const note = (unit: string, change: string, restartCount: bigint) => {
    const before = memory.specSince.get(unit);
    const restartedAt = before !== undefined && before.restartCount < restartCount ? now.monotonic : before?.restartedAt;
    specSince.set(unit, before?.change === change ? before : { change, since: now.monotonic, restartCount, restartedAt });
    if (before === undefined || before.change === change) return;
    for (const key of failures.keys()) if (key.startsWith(pullKeys(unit))) failures.delete(key); // a new spec is tried at once
  };
  for (const app of desired.apps) if (app.kind === "running") note(appUnit(app.name), app.change, app.restartCount);
  for (const job of desired.cronJobs) if (job.kind === "scheduled") note(cronJobUnit(job.name), job.hash, 0n);
  return { ...memory, specSince, failures };
}

/**
 * What the worker remembers of what it sees: since when containers run, who else makes some, which runs of cron_jobs are due.
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

/** What the worker remembers of how a step ended. */
export function rememberOutcome(memory: Memory, step: Step, outcome: StepOutcome, now: Now): Memory {
  if (outcome.kind === "aborted") return memory;
  const failures = new Map(memory.failures);
  if (outcome.kind === "failed") failures.set(step.key, failureOf(memory, step, outcome.reason, now));
  else failures.delete(step.key);
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
    case "prune_done":
      return { ...after, pruned: { cluster: step.cluster, deviceGroup: step.deviceGroup, pruneId: step.pruneId } };
    case "run_failed":
      return { ...after, cron: endRun(memory.cron, step.cronJob, step.due, step.reason) };
    case "forget_unit":
      return withoutUnit(after, step.unit, step.heirs);
    case "remove_image":
      if (outcome.kind === "failed" && (failures.get(step.key)?.tries ?? 0) < REMOVAL_TRIES) return after;
      return { ...after, imageHistory: withoutImage(memory.imageHistory, step.imageId) };
    default:
      return after;
  }
}

/** A container that this worker made for an app is known by its id: it need not be inspected to be told from one with copied labels. */
function rememberCreated(memory: Memory, { labels }: CreateRequest, id: string | undefined): Memory {
  const spec = labels[LABEL.spec];
  if (id === undefined || spec === undefined || labels[LABEL.appName] === undefined) return memory;
  return { ...memory, adopted: new Map([...memory.adopted, [id, spec]]) };
}

/** An inspect that failed in a look is the first try of a job's. */
function withFailedInspects(failures: Memory["failures"], { containers }: Observed, now: Now): Memory["failures"] {
  const failed = containers.filter(({ id, listedOnly }) => listedOnly?.failure !== undefined && !failures.has(inspectKey(id)));
  if (failed.length === 0) return failures;
  const entries = failed.map(({ id, listedOnly }): [string, Failure] => {
    const wait = { tries: 1, since: now.monotonic, notBefore: now.monotonic + failureWaitMs({ kind: "inspect" }, 1) };
    return [
      inspectKey(id),
      { ...wait, step: "inspect", reason: listedOnly?.failure ?? "", ports: [], holders: undefined, containerId: id, pull: undefined },
    ];
  });
  return new Map([...failures, ...entries]);
}

function failureOf(memory: Memory, step: Step, reason: string, now: Now): Failure {
  const before = memory.failures.get(step.key);
  const tries = (before?.tries ?? 0) + 1;
  return {
    step: step.kind,
    tries,
    since: before?.since ?? now.monotonic,
    notBefore: now.monotonic + failureWaitMs(step, tries),
    reason,
    ports: step.kind === "start" ? step.ports : [],
    holders: undefined,
    containerId: "containerId" in step ? step.containerId : undefined,
    pull: undefined,
  };
}

/** Images whose last pull was refused for this reason. */
export function imagesRefused({ failures }: Memory, refusal: PullRefusal): readonly string[] {
  return [...new Set([...failures.values()].flatMap(({ pull }) => (pull?.refusal === refusal ? [pull.image] : [])))];
}

/** The login for this image is another one now: no pull waits for what was refused with the one before. */
export function rememberNewLogin(memory: Memory, image: string): Memory {
  return { ...memory, failures: new Map([...memory.failures].filter(([, { pull }]) => pull?.refusal !== "login" || pull.image !== image)) };
}

/** An image was removed: no pull waits that found no space before. */
function withRoom({ failures, imageIds }: Memory, { images }: Observed): Memory["failures"] {
  const ids = new Set(images.map(({ id }) => id));
  if ([...imageIds].every((id) => ids.has(id))) return failures;
  return new Map([...failures].filter(([, { pull }]) => pull?.refusal !== "no_space"));
}

function refusalOf(errorKind: ErrorKind | undefined): PullRefusal {
  switch (errorKind) {
    case "unauthenticated":
      return "login";
    case "not_found":
      return "absent";
    case "resource_exhausted":
      return "no_space";
    default:
      return "other";
  }
}

function rememberPull(
  memory: Memory,
  { unit, image, change, restartCount, failureKey }: PullWanter,
  present: ReadonlySet<string>,
  outcome: Exclude<StepOutcome, { kind: "aborted" }>,
  now: Now,
): Memory {
  const failures = new Map(memory.failures);
  const pulled = new Map(memory.pulled);
  if (outcome.kind === "done") {
    failures.delete(failureKey);
    const isFirst = pulled.get(unit)?.change !== change;
    pulled.set(unit, { image, change, restartCount, brought: { kind: "unknown", present, isFirst }, used: false });
    return { ...memory, failures, pulled };
  }
  // What an earlier pull for this spec brought counts no more: the next container is made of what is on the device.
  if (pulled.get(unit)?.change === change) pulled.delete(unit);
  const reason = `image ${familiarReference(image)} can't be pulled: ${outcome.reason}`;
  const before = memory.failures.get(failureKey);
  const tries = (before?.tries ?? 0) + 1;
  const refusal = refusalOf(outcome.errorKind);
  const failure: Failure = {
    step: "pull",
    tries,
    since: before?.since ?? now.monotonic,
    notBefore: now.monotonic + pullWaitMs(refusal, tries),
    reason,
    ports: [],
    holders: undefined,
    containerId: undefined,
    pull: { image, refusal },
  };
  return { ...memory, pulled, failures: failures.set(failureKey, failure) };
}

function markUsed(pulled: Memory["pulled"], unit: string): Memory["pulled"] {
  const entry = pulled.get(unit);
  return entry === undefined || entry.used ? pulled : new Map([...pulled, [unit, { ...entry, used: true }]]);
}

function countRestart(memory: Memory, containerId: string, now: Now): Memory["healthRestarts"] {
  const count = (memory.healthRestarts.get(containerId)?.count ?? 0) + 1;
  return new Map([...memory.healthRestarts, [containerId, { count, notBefore: now.monotonic + healthRestartWaitMs(count) }]]);
}

/**
 * A container that has come to our instance since the last look, and that another start of a worker made after this one's. The engine dates a container
 * at the beginning of its create: one that an earlier worker left in flight is older than this start, however late it shows.
 */
function isSecondWorker({ seenIds, engineStart }: Memory, owned: readonly Owned[], { boot }: WorkerIdentity, now: Now): boolean {
  if (seenIds === undefined || engineStart === undefined) return false;
  const { clock, at } = engineStart;
  const start = clock + (now.wall - at.wall) - (now.monotonic - at.monotonic); // the machine's clock may have been set since
  return owned.some(
    ({ container, original, boot: madeBy }) => !original && madeBy !== boot && !seenIds.has(container.id) && container.createdAt >= start,
  );
}

function watchRun(before: RunWatch | undefined, container: ObservedContainer, toldExitCode: number | undefined, now: Now): RunWatch {
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
    exitCode: exitCode ?? toldExitCode ?? before?.exitCode,
    outOfMemory: phase === "running" ? before?.outOfMemory : container.outOfMemory,
    pausedSince: phase === "paused" ? (before?.pausedSince ?? now.monotonic) : undefined,
    healthySince: health === "healthy" ? (before?.healthySince ?? now.monotonic) : undefined,
  };
}

/** Forgets what is long past, or about a container that is gone, and notes who holds the ports of a start that was refused since the last look. */
function currentFailures(failures: Memory["failures"], observed: Observed, now: Now): Memory["failures"] {
  const ids = new Set(observed.containers.map(({ id }) => id));
  // A key without the container's id is that of a place, whichever container it was tried with.
  const isGone = (key: string, id: string | undefined) => id !== undefined && !ids.has(id) && key.includes(id);
  const kept = [...failures].filter(
    ([key, { notBefore, containerId }]) => now.monotonic < notBefore + FORGET_FAILURE_MS && !isGone(key, containerId),
  );
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

function calmed(memory: Memory, runs: ReadonlyMap<string, RunWatch>, ids: ReadonlySet<string>, now: Now): Memory["healthRestarts"] {
  if (memory.healthRestarts.size === 0) return memory.healthRestarts;
  const isCalm = (id: string) => now.monotonic - (runs.get(id)?.healthySince ?? now.monotonic) >= CALM_MS;
  return new Map([...memory.healthRestarts].filter(([id]) => ids.has(id) && !isCalm(id)));
}

function presentOnly(map: Memory["adopted"], ids: ReadonlySet<string>): Memory["adopted"] {
  return [...map.keys()].every((id) => ids.has(id)) ? map : new Map([...map].filter(([id]) => ids.has(id)));
}

function considerAll(cron: Memory["cron"], desired: Desired, owned: readonly Owned[], now: Now, lookMs: number): Memory["cron"] {
  const considered = new Map<string, CronMemory>();
  for (const job of desired.cronJobs) {
    if (job.kind !== "scheduled") continue;
    const runs = owned.filter((container) => container.kind === "cron_job" && container.cronJob === job.name);
    considered.set(
      job.name,
      considerSchedule(
        cron.get(job.name),
        job,
        runs.filter((run) => run.kind === "cron_job"),
        now.wall,
        lookMs,
      ),
    );
  }
  return considered;
}

function endRun(cron: Memory["cron"], name: string, due: number, reason: string): Memory["cron"] {
  const known = cron.get(name);
  if (known === undefined || known.pending !== due) return cron;
  return new Map([...cron, [name, { ...known, pending: undefined, problem: { kind: "failed", reason } }]]);
}

/**
 * Notes which image each pull brought that has ended since the last look, and adds it to its unit's history, but for one that was on the device before:
 * that is somebody else's.
 */
function withPulledImages(memory: Memory, { images }: Observed, owned: readonly Owned[]): Pick<Memory, "pulled" | "imageHistory"> {
  let { pulled, imageHistory } = memory;
  for (const [unit, entry] of pulled) {
    if (entry.brought.kind === "known") continue;
    const { image, brought, used } = entry;
    const id = images.find(({ references }) => references.includes(image))?.id;
    if (id === undefined) continue;
    const isUsed = brought.isFirst && owned.some((made) => made.isStale && made.container.imageId === id && unitOf(made) === unit);
    pulled = new Map([...pulled, [unit, { ...entry, brought: { kind: "known", id }, used: used || isUsed }]]);
    const isOurs = [...imageHistory.values()].some((history) => history.some((known) => known.id === id));
    if (!isOurs && brought.present?.has(id) !== false) continue;
    const known = imageHistory.get(unit) ?? [];
    imageHistory = new Map([...imageHistory, [unit, [...known.filter((other) => other.id !== id), { image, id }].slice(-MOST_IMAGES_KEPT)]]);
  }
  return { pulled, imageHistory };
}

function unitOf(owned: Owned): string {
  return owned.kind === "app" ? appUnit(owned.app) : cronJobUnit(owned.cronJob);
}

/** Since when units that something is kept of are neither in the config nor on the device. Whole hours are kept: they change seldom. */
function unitsGone(memory: Memory, desired: Desired, owned: readonly Owned[], now: Now): Pick<Memory, "goneSince" | "goneHours"> {
  const { pulled, imageHistory } = memory;
  const apps = desired.apps.flatMap(({ kind, name }) => (kind === "gone" ? [] : [appUnit(name)]));
  const cronJobs = desired.cronJobs.flatMap(({ kind, name }) => (kind === "gone" ? [] : [cronJobUnit(name)]));
  const present = new Set([...apps, ...cronJobs, ...owned.map(unitOf)]);
  const gone = [...new Set([...pulled.keys(), ...imageHistory.keys()])].filter((unit) => !present.has(unit));
  const before = (unit: string) => (memory.goneHours.get(unit) ?? 0) * HOUR_MS;
  const goneSince = new Map(gone.map((unit) => [unit, memory.goneSince.get(unit) ?? now.monotonic - before(unit)]));
  const goneHours = new Map([...goneSince].map(([unit, since]) => [unit, Math.floor((now.monotonic - since) / HOUR_MS)]));
  const isSame = goneHours.size === memory.goneHours.size && [...goneHours].every(([unit, hours]) => memory.goneHours.get(unit) === hours);
  return { goneSince, goneHours: isSame ? memory.goneHours : goneHours };
}

/** An image that another unit uses is removed with that one. */
function withoutUnit(memory: Memory, unit: string, heirs: readonly Heir[]): Memory {
  const without = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(([key]) => key !== unit));
  const imageHistory = without(memory.imageHistory);
  for (const { unit: heir, image } of heirs) {
    const own = imageHistory.get(heir) ?? [];
    if (!own.some(({ id }) => id === image.id)) imageHistory.set(heir, [image, ...own].slice(-MOST_IMAGES_KEPT));
  }
  return { ...memory, pulled: without(memory.pulled), imageHistory, goneHours: without(memory.goneHours) };
}

function withoutImage(imageHistory: Memory["imageHistory"], imageId: string): Memory["imageHistory"] {
  return new Map([...imageHistory].map(([unit, history]) => [unit, history.filter(({ id }) => id !== imageId)]));
}

import { inspectKey } from "./memory.ts";
import type { Desired, DesiredApp, Observed } from "./model.ts";
import { appUnit, cronJobUnit, type OwnedAppContainer, type OwnedCronContainer } from "./owned.ts";
import { type AppWork, goneAppWork, refusedAppWork, runningAppWork } from "./plan/app.ts";
import { compareClusters, foreignClusterProblems } from "./plan/cluster.ts";
import { type CronJobWork, cronJobWork, goneCronJobWork, refusedCronJobWork } from "./plan/cron-job.ts";
import { type AppDraft, departingIds, draftOf, evicted, leavingIds } from "./plan/draft.ts";
import { together, unlessFailing, type Work } from "./plan/farewell.ts";
import { heldBack } from "./plan/held-back.ts";
import { goneUnitsWork, keepImagesWork } from "./plan/keep-images.ts";
import { networkWork } from "./plan/network.ts";
import { portClaims } from "./plan/port-claims.ts";
import { withPortTrades } from "./plan/port-trades.ts";
import { pruneWork } from "./plan/prune.ts";
import { pullWork } from "./plan/pulls.ts";
import type { DeviceProblem, DeviceStates } from "./plan/states.ts";
import { type PlanContext, type View, viewOf } from "./plan/view.ts";
import { laneOf, type Step } from "./step.ts";

export type Plan = Readonly<{
  /** What to do now: steps of one unit in this order, different units side by side. Empty: nothing, until something happens or `wakeAt` comes. */
  steps: readonly Step[];
  /** Milliseconds of the monotonic clock. */
  wakeAt: number | undefined;
  states: DeviceStates;
}>;

/**
 * What has to be done next to make the device as it is wanted. Pure: the same arguments give the same plan. Only the next step of each matter is told;
 * once it is done the plan is made anew, from what the engine says then, so that a worker that was killed anywhere finds its way.
 */
export function plan(desired: Desired, observed: Observed, context: PlanContext): Plan {
  const view = viewOf(desired, observed, context);
  const drafted = draftAll(view);
  const apps = appWorks(drafted, view);
  const cronJobs = cronJobWorks(view);
  const states = { apps: apps.map(({ state }) => state), cronJobs: cronJobs.map(({ state }) => state) };
  const foreign = foreignClusterProblems(view);
  const standstill = standstillOf(view);
  if (standstill !== undefined) return { steps: [], wakeAt: standstill.wakeAt, states: { ...states, problems: [standstill.problem, ...foreign] } };
  const wishes = [...apps, ...cronJobs].flatMap(({ wish }) => (wish === undefined ? [] : [wish]));
  const works = [
    networkWork(view),
    ...apps,
    ...cronJobs,
    pullWork(wishes, view),
    keepImagesWork(drafted.drafts, view),
    goneUnitsWork(view),
    inspectWork(view),
  ];
  const work = withoutBusy(together(works), view);
  const { jobs } = observed;
  const prune = pruneWork(view, work.steps.length === 0 && jobs.pulls.length === 0 && jobs.stops.size === 0 && jobs.lanes.size === 0 && !jobs.saving);
  const { steps, wakeAt } = together([work, prune]);
  return { steps, wakeAt, states: { ...states, problems: [...prune.problems, ...foreign] } };
}

/** A container that cannot be inspected is inspected again, with back-off; nothing else is done to it. */
function inspectWork(view: View): Work {
  const unitOf = new Map(view.owned.map((owned) => [owned.container.id, owned.kind === "app" ? appUnit(owned.app) : cronJobUnit(owned.cronJob)]));
  const again = [...view.unknownIds].map((containerId): Work => {
    const unit = unitOf.get(containerId) ?? "foreign containers";
    const key = inspectKey(containerId);
    return unlessFailing({ kind: "inspect", unit, key, lane: key, containerId }, view); // not in the lane of what waits for it
  });
  return together(again);
}

/**
 * Leaves out the lanes that are under way, and ends each lane before its first step about a container that a job is about, or that cannot be
 * inspected: the engine holds its lock.
 */
function withoutBusy({ steps, wakeAt }: Work, { observed: { jobs }, unknownIds }: View): Work {
  const ended = new Set(jobs.lanes);
  const isLocked = (step: Step) =>
    "containerId" in step && (jobs.touched.has(step.containerId) || (step.kind !== "inspect" && unknownIds.has(step.containerId)));
  const begun = steps.filter((step) => {
    const lane = laneOf(step);
    if (isLocked(step)) ended.add(lane);
    return !ended.has(lane);
  });
  return { steps: begun, wakeAt };
}

/** Before the first config only the network is made sure of: what runs is left as it is. */
export function planWithoutConfig(observed: Observed, context: PlanContext): Plan {
  const nothing: Desired = { cluster: { id: "", epoch: 0n }, deviceGroup: "", groupRevision: 0n, pruneId: 0n, apps: [], cronJobs: [] };
  const view = viewOf(nothing, observed, context);
  const { steps, wakeAt } = withoutBusy(networkWork(view), view);
  return { steps, wakeAt, states: { apps: [], cronJobs: [], problems: [] } };
}

type Drafted = Readonly<{
  drafts: readonly AppDraft[];
  containers: ReadonlyMap<string, readonly OwnedAppContainer[]>;
  leaving: ReadonlySet<string>;
  evicted: ReadonlySet<string>;
  departing: ReadonlySet<string>;
  /** By app: why nothing is done about it. */
  refused: ReadonlyMap<string, string>;
}>;

function draftAll(view: View): Drafted {
  const claims = portClaims(view.desired);
  const containers = groupBy(
    view.owned.filter((owned) => owned.kind === "app"),
    ({ app }) => app,
  );
  const refused = new Map<string, string>();
  const goners: OwnedAppContainer[] = [];
  const each: AppDraft[] = [];
  for (const app of view.desired.apps) {
    const own = containers.get(app.name) ?? [];
    const reason = app.kind === "refused" ? app.reason : heldBack(app, own, view.desired.cluster);
    if (reason !== undefined) refused.set(app.name, reason);
    else if (app.kind === "running") each.push(draftOf(app, own, claims, view));
    else goners.push(...own);
  }
  const named = new Set(view.desired.apps.map(({ name }) => name));
  for (const [app, own] of containers) if (!named.has(app)) goners.push(...own);
  const drafts = withPortTrades(each, view);
  const leaving = leavingIds(drafts, goners, claims, view);
  return {
    drafts,
    containers,
    leaving,
    evicted: new Set(drafts.flatMap((draft) => evicted(draft, drafts, claims)).map(({ container }) => container.id)),
    departing: departingIds(drafts, leaving, view),
    refused,
  };
}

/** The apps in the group's order, then those that are on their way out. */
function appWorks(drafted: Drafted, view: View): readonly AppWork[] {
  const { drafts, containers, refused } = drafted;
  const byName = new Map(drafts.map((draft) => [draft.app.name, draft]));
  const own = (name: string) => containers.get(name) ?? [];
  const works = view.desired.apps.map((app: DesiredApp): AppWork => {
    const reason = refused.get(app.name);
    const draft = byName.get(app.name);
    if (reason !== undefined || app.kind === "refused") return refusedAppWork(app, reason ?? "", own(app.name), view);
    if (app.kind !== "running") return goneAppWork(app, own(app.name), view);
    return runningAppWork(draft ?? draftOf(app, own(app.name), portClaims(view.desired), view), drafted, view);
  });
  const named = new Set(view.desired.apps.map(({ name }) => name));
  const leftovers = [...containers].filter(([name]) => !named.has(name));
  return [...works, ...leftovers.map(([name, left]) => goneAppWork({ kind: "gone", name, revision: highestRevision(left) }, left, view))];
}

function cronJobWorks(view: View): readonly CronJobWork[] {
  const containers = groupBy(
    view.owned.filter((owned) => owned.kind === "cron_job"),
    ({ cronJob }) => cronJob,
  );
  const works = view.desired.cronJobs.map((job): CronJobWork => {
    const own = containers.get(job.name) ?? [];
    const reason = job.kind === "refused" ? job.reason : heldBack(job, own, view.desired.cluster);
    if (job.kind === "refused" || reason !== undefined) return refusedCronJobWork(job.name, job.revision, reason ?? "", own);
    return job.kind === "scheduled" ? cronJobWork(job, own, view) : goneCronJobWork(job.name, job.revision, own, view);
  });
  const named = new Set(view.desired.cronJobs.map(({ name }) => name));
  const leftovers = [...containers].filter(([name]) => !named.has(name));
  return [...works, ...leftovers.map(([name, left]) => goneCronJobWork(name, highestRevision(left), left, view))];
}

/** Why nothing at all is done now. */
function standstillOf(view: View): { problem: DeviceProblem; wakeAt: number | undefined } | undefined {
  const { quietUntil } = view.memory;
  if (view.now.monotonic < quietUntil) {
    const message = `another worker of instance ${view.identity.instance} makes containers on this engine; stop one of them, or give it an instance of its own`;
    return { problem: { code: "second_worker", message }, wakeAt: quietUntil };
  }
  const newer = view.owned.find(({ cluster }) => cluster !== undefined && compareClusters(cluster, view.desired.cluster) === "newer_epoch");
  if (newer === undefined) return undefined;
  const message = `the config is of epoch ${view.desired.cluster.epoch}, older than ${newer.cluster?.epoch} that container ${newer.container.name} was made for; it is ignored`;
  return { problem: { code: "older_epoch", message }, wakeAt: undefined };
}

function highestRevision(containers: readonly (OwnedAppContainer | OwnedCronContainer)[]): bigint {
  return containers.reduce((highest, { revision }) => (revision > highest ? revision : highest), 0n);
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  return Map.groupBy(items, keyOf);
}

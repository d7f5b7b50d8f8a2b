import type { Cause, Desired, DesiredApp, GoneEntry, RunningApp, StoppedApp } from "../../common/desired/desired.ts";
import { portClaims } from "../../common/desired/port-claims.ts";
import type { Observed } from "../observed/observed.ts";
import { appUnit, cronJobUnit, type OwnedAppContainer, type OwnedCronContainer } from "../observed/owned.ts";
import { type AppWork, goneAppWork, refusedAppWork, runningAppWork } from "./app/app.ts";
import { type CronJobWork, cronJobWork, goneCronJobWork, refusedCronJobWork } from "./cron-job.ts";
import { foreignClusterProblems, heldBack, standstillOf } from "./held-back.ts";
import { goneUnitsWork, keepImagesWork } from "./images/keep.ts";
import { pruneWork } from "./images/prune.ts";
import { pullWork } from "./images/pull.ts";
import { networkWork } from "./networks.ts";
import { portMoves, withExchanges } from "./ports/exchange.ts";
import { type AppDraft, draftOf } from "./slots/draft.ts";
import type { DeviceStates } from "./states.ts";
import { containerKey, laneOf, type Step } from "./step.ts";
import { type PlanContext, type View, viewOf } from "./view.ts";
import { together, unlessFailing, volumesWork, type Work } from "./work.ts";

export type Plan = Readonly<{
  /** The steps to do now: of one unit in this order, different units side by side. Empty: nothing, until something happens or `wakeAt` comes. */
  steps: readonly Step[];
  /** Milliseconds of the monotonic clock. */
  wakeAt: number | undefined;
  states: DeviceStates;
}>;

/**
 * The next steps towards the desired state. Pure: the same arguments give the same plan. A plan holds only the next step of
 * each unit; once that is done, the next plan is made from what the engine says then (I1), so a worker that was killed
 * between two steps resumes (I7).
 */
export function plan(desired: Desired, observed: Observed, context: PlanContext): Plan {
  const view = viewOf(desired, observed, context);
  const { works: apps, drafts } = appWorks(view);
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
    keepImagesWork(drafts, view),
    goneUnitsWork(view),
    inspectWork(view),
    volumesWork(view),
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
    const lane = containerKey("inspect", containerId); // not the lane of the steps that wait for it
    return unlessFailing({ kind: "inspect", unit, lane, containerId }, view);
  });
  return together(again);
}

/**
 * Leaves out the lanes that are under way, and ends each lane before its first step about a container that a job is
 * about, or that cannot be inspected: the engine holds its lock.
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

/** The work of the apps in the order of the group, then of those that are not in the config any more. */
function appWorks(view: View): Readonly<{ works: readonly AppWork[]; drafts: readonly AppDraft[] }> {
  const { desired } = view;
  const claims = portClaims(desired);
  const containers = Map.groupBy(
    view.owned.filter((owned) => owned.kind === "app"),
    ({ app }) => app,
  );
  const own = (name: string) => containers.get(name) ?? [];
  const named = new Set(desired.apps.map(({ name }) => name));
  const leftovers = [...containers].filter(([name]) => !named.has(name));
  const entries = desired.apps.map((app) => entryOf(app, own(app.name), view));
  const drafts = withExchanges(
    entries.flatMap((entry) => (entry.kind === "running" ? [draftOf(entry.app, own(entry.app.name), claims, view)] : [])),
    view,
  );
  const gone = [...entries.flatMap((entry) => (entry.kind === "gone" ? own(entry.app.name) : [])), ...leftovers.flatMap(([, left]) => left)];
  const ports = portMoves(drafts, gone, claims, view);
  const running = new Map(drafts.map((draft) => [draft.app.name, runningAppWork(draft, ports, view)]));
  const works = entries.flatMap((entry): readonly AppWork[] => {
    const { app } = entry;
    if (entry.kind === "refused") return [refusedAppWork(app, entry.cause, own(app.name), ports, view)];
    if (entry.kind === "gone") return [goneAppWork(entry.app, own(app.name), view)];
    return [running.get(app.name)].filter((work) => work !== undefined);
  });
  const left = leftovers.map(([name, containers]) => goneAppWork({ kind: "gone", name, revision: highestRevision(containers) }, containers, view));
  return { works: [...works, ...left], drafts };
}

type Entry = Readonly<
  { kind: "refused"; app: DesiredApp; cause: Cause } | { kind: "running"; app: RunningApp } | { kind: "gone"; app: GoneEntry | StoppedApp }
>;

function entryOf(app: DesiredApp, containers: readonly OwnedAppContainer[], { desired }: View): Entry {
  if (app.kind === "refused") return { kind: "refused", app, cause: app };
  const cause = heldBack(app, containers, desired.cluster);
  if (cause !== undefined) return { kind: "refused", app, cause };
  return app.kind === "running" ? { kind: "running", app } : { kind: "gone", app };
}

function cronJobWorks(view: View): readonly CronJobWork[] {
  const containers = Map.groupBy(
    view.owned.filter((owned) => owned.kind === "cron_job"),
    ({ cronJob }) => cronJob,
  );
  const works = view.desired.cronJobs.map((job): CronJobWork => {
    const own = containers.get(job.name) ?? [];
    if (job.kind === "refused") return refusedCronJobWork(job.name, job.revision, job, own);
    const cause = heldBack(job, own, view.desired.cluster);
    if (cause !== undefined) return refusedCronJobWork(job.name, job.revision, cause, own);
    return job.kind === "scheduled" ? cronJobWork(job, own, view) : goneCronJobWork(job.name, job.revision, own, view);
  });
  const named = new Set(view.desired.cronJobs.map(({ name }) => name));
  const leftovers = [...containers].filter(([name]) => !named.has(name));
  return [...works, ...leftovers.map(([name, left]) => goneCronJobWork(name, highestRevision(left), left, view))];
}

function highestRevision(containers: readonly (OwnedAppContainer | OwnedCronContainer)[]): bigint {
  return containers.reduce((highest, { revision }) => (revision > highest ? revision : highest), 0n);
}

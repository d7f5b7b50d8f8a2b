import type { Cause, DesiredApp } from "../../../common/desired/desired.ts";
import { appUnit, isUp, type OwnedAppContainer } from "../../observed/owned.ts";
import { endPause, pauseNotes } from "../health.ts";
import { type ImageReadiness, imageReadiness, type PullWish } from "../images/pull.ts";
import type { PortMoves } from "../ports/exchange.ts";
import { type AppDraft, slotKeys, surplusMayGo } from "../slots/draft.ts";
import { upRight } from "../slots/slots.ts";
import { type Target, withStandingFailures } from "../standing.ts";
import { APPLIED, type AppState, failed, working, worst } from "../states.ts";
import { NETWORK_KEY } from "../step.ts";
import { earlier, holdersOf, type View } from "../view.ts";
import { DEFAULT_GRACE_SECONDS, NO_WORK, removalsOf, together, unlessFailing, type Work } from "../work.ts";
import { slotWork } from "./replace.ts";

export type AppWork = Work & Readonly<{ state: AppState; wish: PullWish | undefined }>;

/** The work of an app that runs. */
export function runningAppWork(draft: AppDraft, ports: PortMoves, view: View): AppWork {
  const { app, unit, slots, surplus, turn } = draft;
  const image = imageFor(draft, view);
  const works = slots.map((slot) => slotWork(slot, { draft, image: image?.use, ports, view }));
  const mayGo = surplusMayGo(draft);
  const going = surplus.filter(({ container: { id } }) => mayGo || turn.surplus.has(id) || ports.evicted.has(id));
  const removals = removalsOf(going, unit, app.stopGraceSeconds, view);
  const work = together([removals, ...works]);
  const states = [...works.map(({ state }) => state), surplus.length > 0 ? working("remove") : APPLIED, image?.stale ?? APPLIED];
  const notes = [...app.notes, turn.note, ...pauseNotes(draft.containers)].filter((note) => note !== undefined);
  const standing = withStandingFailures(worst(states), { work, containers: draft.containers, ...keysOf(draft) }, view);
  return {
    steps: work.steps,
    wakeAt: [work.wakeAt, turn.wakeAt, image?.wakeAt, standing.wakeAt].reduce(earlier, undefined),
    state: { name: app.name, revision: app.revision, state: standing.state, notes, containers: byIndex(draft.containers) },
    wish: image?.wish,
  };
}

/** The keys that an app fails by: those of a container that does not run yet are reported until a try succeeds. */
function keysOf({ slots, blocks }: AppDraft): Pick<Target, "atOnce" | "awaited"> {
  const isWaiting = [...blocks.values()].some(({ cause, state }) => cause === "network" && state.kind === "working");
  return {
    atOnce: slots.filter((slot) => upRight(slot) === undefined).flatMap(slotKeys),
    awaited: isWaiting ? [NETWORK_KEY] : [],
  };
}

/**
 * The readiness of the image of an app; undefined if no container is to be made now, and none was made of an image that
 * could not be pulled.
 */
function imageFor({ app, unit, slots, blocks, turn, containers }: AppDraft, view: View): ImageReadiness | undefined {
  const wanted = slots.filter((slot) => slot.kind === "wanted" && !blocks.has(slot) && turn.slots.has(slot.instance.index));
  const isStale = slots.some(({ right }) => right.some((owned) => owned.isStale)) && view.memory.pulled.get(unit)?.change !== app.change;
  if (wanted.length === 0 && !isStale) return undefined;
  const made = new Set(slots.flatMap(({ right }) => right.filter((owned) => owned.isStale)));
  const counts = containers.filter(({ original }) => !original).map(({ restartCount }) => restartCount);
  return imageReadiness(
    {
      unit,
      image: app.image,
      policy: app.pullPolicy,
      change: app.change,
      attempt: app.change,
      restartCount: app.restartCount,
      isWanted: wanted.length > 0,
      sameSpecExists: slots.some(({ right }) => right.length > 0),
      isStale,
      isReplacing: containers.some((owned) => isUp(owned.container.phase) && !made.has(owned)),
      restartsDone: counts.reduce<bigint | undefined>((most, count) => (most === undefined || count > most ? count : most), undefined),
    },
    view,
  );
}

/** The work of an app without containers: it is stopped, deleted or out of the group. */
export function goneAppWork(
  app: Exclude<DesiredApp, { kind: "running" | "refused" }>,
  containers: readonly OwnedAppContainer[],
  view: View,
): AppWork {
  const graceSeconds = app.kind === "stopped" ? app.stopGraceSeconds : DEFAULT_GRACE_SECONDS;
  const work = removalsOf(containers, appUnit(app.name), graceSeconds, view);
  const { state, wakeAt } = withStandingFailures(containers.length === 0 ? APPLIED : working("remove"), { work, containers, atOnce: [] }, view);
  const shown = { name: app.name, revision: app.revision, state, notes: [], containers: byIndex(containers) };
  return { steps: work.steps, wakeAt: earlier(work.wakeAt, wakeAt), state: shown, wish: undefined };
}

/** The work of a refused app: its containers stay, and those that somebody stopped or paused are started again. */
export function refusedAppWork(
  { name, revision }: Pick<DesiredApp, "name" | "revision">,
  { code, reason }: Cause,
  containers: readonly OwnedAppContainer[],
  ports: PortMoves,
  view: View,
): AppWork {
  const unit = appUnit(name);
  const works = containers.map((owned): Work => {
    const { container } = owned;
    if (container.phase === "paused") return endPause(owned, unit, view);
    const wasRunning = container.phase === "exited" && /-\d+$/.test(container.name);
    if (!wasRunning || view.observed.jobs.stops.has(container.id)) return NO_WORK;
    const isTaken = holdersOf(view, container.hostPorts, new Set([container.id])).length > 0;
    if (isTaken || !ports.mayTake(container.hostPorts, { slot: undefined, stays: true })) return NO_WORK;
    return unlessFailing({ kind: "start", unit, containerId: container.id, ports: container.hostPorts, isExchange: false }, view);
  });
  return {
    ...together(works),
    state: { name, revision, state: failed("config", { code, reason }), notes: pauseNotes(containers), containers: byIndex(containers) },
    wish: undefined,
  };
}

export function byIndex(containers: readonly OwnedAppContainer[]): readonly OwnedAppContainer[] {
  return [...containers].sort((a, b) => (a.index ?? 0) - (b.index ?? 0) || a.container.createdAt - b.container.createdAt);
}

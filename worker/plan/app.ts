import type { DesiredApp } from "../model.ts";
import { appUnit, isUp, type OwnedAppContainer } from "../owned.ts";
import { slotKeys } from "./blocks.ts";
import { type AppDraft, surplusMayGo } from "./draft.ts";
import { DEFAULT_GRACE_SECONDS, farewells, NO_WORK, together, unlessFailing, type Work } from "./farewell.ts";
import { endPause, pauseNotes } from "./health.ts";
import { type ImageReadiness, imageReadiness, type PullWish } from "./image.ts";
import { NETWORK_KEY } from "./network.ts";
import type { SlotContext } from "./slot-context.ts";
import { slotWork } from "./slot-work.ts";
import { upRight } from "./slots.ts";
import { type Target, withStandingFailures } from "./standing.ts";
import { APPLIED, type AppState, failed, working, worst } from "./states.ts";
import { earlier, type View } from "./view.ts";

export type AppWork = Work & Readonly<{ state: AppState; wish: PullWish | undefined }>;

/** What is to be done for an app that runs. @param others what is known of the containers of all apps */
export function runningAppWork(draft: AppDraft, others: Pick<SlotContext, "leaving" | "evicted" | "departing">, view: View): AppWork {
  const { app, unit, slots, surplus, turn } = draft;
  const image = imageFor(draft, view);
  const works = slots.map((slot) => slotWork(slot, { ...others, draft, image: image?.use, view }));
  const mayGo = surplusMayGo(draft);
  const going = surplus.filter(({ container: { id } }) => mayGo || turn.surplus.has(id) || others.evicted.has(id));
  const farewell = farewells(going, unit, app.stopGraceSeconds, view);
  const work = together([farewell, ...works]);
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

/** What an app's containers fail by: that of a container which is yet to run is reported until a try succeeds. */
function keysOf({ unit, slots, blocks }: AppDraft): Pick<Target, "atOnce" | "awaited"> {
  const isWaiting = [...blocks.values()].some(({ state }) => state.kind === "working" && state.step === "network");
  return {
    atOnce: slots.filter((slot) => upRight(slot) === undefined).flatMap((slot) => slotKeys(slot, unit)),
    awaited: isWaiting ? [NETWORK_KEY] : [],
  };
}

/** How the app stands with its image, asked only when a container is to be made now, or was made of an image that could not be pulled. */
function imageFor({ app, unit, slots, blocks, turn, containers }: AppDraft, view: View): ImageReadiness | undefined {
  const wanted = slots.filter((slot) => slot.right.length === 0 && !slot.busy && !blocks.has(slot) && turn.slots.has(slot.instance.index));
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

/** What is to be done for an app of which nothing is to run. */
export function goneAppWork(
  app: Exclude<DesiredApp, { kind: "running" | "refused" }>,
  containers: readonly OwnedAppContainer[],
  view: View,
): AppWork {
  const graceSeconds = app.kind === "stopped" ? app.stopGraceSeconds : DEFAULT_GRACE_SECONDS;
  const work = farewells(containers, appUnit(app.name), graceSeconds, view);
  const { state, wakeAt } = withStandingFailures(containers.length === 0 ? APPLIED : working("remove"), { work, containers, atOnce: [] }, view);
  const shown = { name: app.name, revision: app.revision, state, notes: [], containers: byIndex(containers) };
  return { steps: work.steps, wakeAt: earlier(work.wakeAt, wakeAt), state: shown, wish: undefined };
}

/** An app that is not acted upon: what runs of it stays, and what was stopped or paused by somebody goes on. */
export function refusedAppWork(
  { name, revision }: Pick<DesiredApp, "name" | "revision">,
  reason: string,
  containers: readonly OwnedAppContainer[],
  view: View,
): AppWork {
  const unit = appUnit(name);
  const works = containers.map((owned): Work => {
    const { container } = owned;
    if (container.phase === "paused") return endPause(owned, unit, view);
    const wasRunning = container.phase === "exited" && /-\d+$/.test(container.name);
    const key = `start ${container.id}`;
    if (!wasRunning || view.observed.jobs.stops.has(container.id)) return NO_WORK;
    return unlessFailing({ kind: "start", unit, key, containerId: container.id, ports: container.hostPorts, isExchange: false }, view);
  });
  return {
    ...together(works),
    state: { name, revision, state: failed("config", reason), notes: pauseNotes(containers), containers: byIndex(containers) },
    wish: undefined,
  };
}

export function byIndex(containers: readonly OwnedAppContainer[]): readonly OwnedAppContainer[] {
  return [...containers].sort((a, b) => (a.index ?? 0) - (b.index ?? 0) || a.container.createdAt - b.container.createdAt);
}

import type { RunningApp } from "../model.ts";
import { appUnit, type OwnedAppContainer } from "../owned.ts";
import type { HostPort } from "../runtime/container-runtime.ts";
import { type Block, blockOf } from "./blocks.ts";
import type { Claim, PortClaims } from "./port-claims.ts";
import { type Turn, turnOf } from "./roll.ts";
import { type Slot, slotsOf, upRight } from "./slots.ts";
import { holdersOf, type View } from "./view.ts";

/** What is known of a running app before its steps are planned: they depend on what other apps are about to give up. */
export type AppDraft = Readonly<{
  app: RunningApp;
  unit: string;
  containers: readonly OwnedAppContainer[];
  slots: readonly Slot[];
  surplus: readonly OwnedAppContainer[];
  blocks: ReadonlyMap<Slot, Block>;
  turn: Turn;
}>;

export function draftOf(app: RunningApp, containers: readonly OwnedAppContainer[], claims: PortClaims, view: View): AppDraft {
  const unit = appUnit(app.name);
  const { slots, surplus } = slotsOf(app, containers, view);
  const blocks = new Map<Slot, Block>();
  for (const slot of slots) {
    const block = blockOf(slot, unit, claims, view);
    if (block !== undefined) blocks.set(slot, block);
  }
  return { app, unit, containers, slots, surplus, blocks, turn: turnOf(app, slots, surplus, blocks, view) };
}

/** Whether the surplus containers of an app go now: at once, but in a roll last. */
export function surplusMayGo({ app, slots }: AppDraft): boolean {
  return !app.rolling || slots.every(({ wrong }) => wrong.length === 0);
}

/** Whether a slot has its new container made and its old ones still up, and may exchange them. */
function isExchanging({ turn, blocks }: AppDraft, slot: Slot): boolean {
  return slot.right.length > 0 && upRight(slot) === undefined && !blocks.has(slot) && turn.slots.has(slot.instance.index);
}

/**
 * Ids of the containers of ours that are up and about to go, whoever asks: a container that needs their ports has to wait for them, no longer. Nothing is
 * stopped for a new container whose ports would still be held by one that stays.
 */
export function leavingIds(drafts: readonly AppDraft[], goners: readonly OwnedAppContainer[], claims: PortClaims, view: View): ReadonlySet<string> {
  const leaving = new Set(goners.map(({ container }) => container.id));
  for (const draft of drafts) {
    const going = draft.surplus.filter(({ container }) => surplusMayGo(draft) || draft.turn.surplus.has(container.id));
    for (const { container } of going) leaving.add(container.id);
    for (const slot of draft.slots) {
      for (const { container } of slot.wrong) if (upRight(slot) !== undefined || isExchanging(draft, slot)) leaving.add(container.id);
      for (const { container } of slot.right.slice(1)) leaving.add(container.id);
    }
    for (const loser of evicted(draft, drafts, claims)) leaving.add(loser.container.id);
  }
  for (const id of view.observed.jobs.stops) leaving.add(id);
  // Whoever needs a port of one that stays does not exchange, so its own old ones stay, too.
  for (let before = -1; before !== leaving.size; ) {
    before = leaving.size;
    for (const draft of drafts) {
      for (const slot of draft.slots) {
        if (!isExchanging(draft, slot) || stayingHolders(slot, leaving, view).length === 0) continue;
        for (const { container } of slot.wrong) if (!view.observed.jobs.stops.has(container.id)) leaving.delete(container.id);
      }
    }
  }
  return leaving;
}

/**
 * Ids of containers that go sooner or later, and so only have to be waited for: those that are leaving, and those of slots that nothing stands in the way
 * of, a port that somebody keeps included.
 */
export function departingIds(drafts: readonly AppDraft[], leaving: ReadonlySet<string>, view: View): ReadonlySet<string> {
  const isOnItsWay = ({ blocks, turn }: AppDraft, slot: Slot) =>
    blocks.get(slot)?.state.kind !== "failed" && (!turn.isStuck || turn.slots.has(slot.instance.index));
  const replaced = drafts.flatMap((draft) => draft.slots.filter((slot) => slot.wrong.length > 0 && isOnItsWay(draft, slot)));
  const surplus = drafts.filter((draft) => !draft.turn.isStuck || surplusMayGo(draft)).flatMap((draft) => draft.surplus);
  const departing = new Set(leaving);
  for (const { container } of [...surplus, ...replaced.flatMap(({ wrong }) => wrong)]) departing.add(container.id);
  for (let before = -1; before !== departing.size; ) {
    before = departing.size;
    for (const slot of replaced) {
      if (upRight(slot) !== undefined || stayingHolders(slot, departing, view).length === 0) continue;
      for (const { container } of slot.wrong) if (!leaving.has(container.id)) departing.delete(container.id);
    }
  }
  return departing;
}

/** Containers of ours, of other slots, that hold a port that a slot's wanted container needs and that do not go. */
export function stayingHolders(slot: Slot, leaving: ReadonlySet<string>, view: View): readonly string[] {
  return otherHolders(slot, view).filter((id) => !leaving.has(id));
}

/** Ids of up containers outside of a slot that hold a port that its wanted container needs. */
export function otherHolders(slot: Slot, view: View): readonly string[] {
  const own = new Set([...slot.right, ...slot.wrong].map(({ container }) => container.id));
  return holdersOf(view, slot.instance.spec.ports, own).map(({ holder }) => holder.id);
}

/**
 * Running containers whose ports belong to another by the group's order, once that one is made and only waits for them: those of the wanted spec that
 * lost the claim, and those without a place.
 */
export function evicted({ app, slots, surplus }: AppDraft, drafts: readonly AppDraft[], claims: PortClaims): readonly OwnedAppContainer[] {
  const losers = slots.map((slot) => (claims.lost(app.name, slot.instance.index) === undefined ? undefined : upRight(slot)));
  const isWaiting = (winner: Claim) => {
    const draft = drafts.find((candidate) => candidate.app.name === winner.app);
    const waiting = draft?.slots.find(({ instance }) => instance.index === winner.index);
    return waiting !== undefined && waiting.right.length > 0 && upRight(waiting) === undefined && draft?.blocks.has(waiting) === false;
  };
  const isWaitedFor = (port: HostPort) => claims.winners(port).some(isWaiting);
  return [...losers, ...surplus].filter((owned) => owned !== undefined).filter(({ container }) => container.hostPorts.some(isWaitedFor));
}

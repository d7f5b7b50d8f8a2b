import type { RunningApp } from "../../../common/desired/desired.ts";
import { isUp, type OwnedAppContainer } from "../../observed/owned.ts";
import { type Gate, gateOf } from "../health.ts";
import type { Block } from "../states.ts";
import { earlier, holdersOf, type View } from "../view.ts";
import { type Slot, upRight } from "./slots.ts";

/**
 * The slots of an app that may be changed now: that get a new container, and lose their old one for it.
 * `surplus`: containers without a slot that are removed before the end of the roll, because a slot needs their ports.
 */
export type Turn = Readonly<{
  slots: ReadonlySet<number>;
  surplus: ReadonlySet<string>;
  /** A new container is unwell, or not known to be well yet: no further one is replaced. */
  isHeld: boolean;
  /** The roll does not continue by itself. */
  isStuck: boolean;
  note: string | undefined;
  wakeAt: number | undefined;
}>;

type Place = Readonly<{
  slot: Slot;
  best: OwnedAppContainer | undefined;
  gate: Gate;
  isNew: boolean;
  isBlocked: boolean;
  /** One of its containers cannot be inspected, so no step touches it. The roll continues with the others. */
  isUnknown: boolean;
}>;

/**
 * Without rolling_restart every slot may. With it, one after the other: what is missing first, then what is sick, then a healthy one, and that only
 * while all others pass the gate. A new container that is sick, or that could not be started, holds the roll.
 */
export function turnOf(app: RunningApp, slots: readonly Slot[], blocks: ReadonlyMap<Slot, Block>, view: View): Turn {
  const all = {
    slots: new Set(slots.map(({ instance }) => instance.index)),
    surplus: new Set<string>(),
    isHeld: false,
    isStuck: false,
    note: undefined,
    wakeAt: undefined,
  };
  if (!app.rolling || slots.every(({ wrong }) => wrong.length === 0)) return all;
  const highest = Math.max(...slots.filter(({ right, wrong }) => right.length + wrong.length > 0).map(({ instance }) => instance.index));
  // Slots beyond the highest container were asked for by the change: they come after the roll.
  const places = slots.filter(({ instance }) => instance.index <= highest).map((slot) => placeOf(slot, blocks, view));
  const wakeAt = places.map(({ gate }) => (gate.kind === "undecided" ? gate.decidedAt : undefined)).reduce(earlier, undefined);
  const isHeld = places.some(({ isNew, isBlocked, gate }) => (isBlocked && gate.kind !== "down") || (isNew && gate.kind !== "passing"));
  const missing = places.filter(({ slot, best, gate }) => best === undefined || (gate.kind === "down" && !(isHeld && canRunOld(slot, view))));
  const chosen = isHeld ? undefined : choose(places, view);
  return {
    slots: new Set([...missing, ...(chosen === undefined ? [] : [chosen])].map(({ slot }) => slot.instance.index)),
    surplus: new Set(),
    isHeld,
    isStuck: places.some(({ isNew, isBlocked, gate }) => isBlocked || (isNew && gate.kind === "sick")),
    note: undefined,
    wakeAt,
  };
}

function placeOf(slot: Slot, blocks: ReadonlyMap<Slot, Block>, view: View): Place {
  const right = upRight(slot);
  const best = right ?? slot.wrong.find(({ container }) => isUp(container.phase)) ?? slot.wrong[0] ?? slot.right[0];
  const check = right === undefined ? undefined : slot.instance.spec.healthcheck;
  const gate: Gate = best === undefined ? { kind: "down" } : gateOf(best.container, slot.app.minHealthyMs, check, view);
  const isUnknown = [...slot.right, ...slot.wrong].some(({ container }) => view.unknownIds.has(container.id));
  return { slot, best, gate, isNew: right !== undefined, isBlocked: right === undefined && blocks.get(slot)?.state.kind === "failed", isUnknown };
}

/** Whether the old container of a slot that is down could be started again: no other of ours has its ports by now. */
function canRunOld(slot: Slot, view: View): boolean {
  const old = slot.wrong[0]?.container;
  return old !== undefined && old.phase !== "dead" && holdersOf(view, old.hostPorts, new Set([old.id])).length === 0;
}

/** The next old container to be taken down; undefined: none for now. */
function choose(places: readonly Place[], view: View): Place | undefined {
  // One that somebody paused is left alone until it is unpaused.
  const isLeftAlone = ({ isUnknown, gate }: Place) => isUnknown || gate.kind === "down" || gate.kind === "paused";
  const waiting = places.filter((place) => !place.isNew && place.best !== undefined && !isLeftAlone(place));
  const begun = waiting.find(({ slot }) => slot.kind === "busy" || slot.right.length > 0);
  const others = (place: Place) => places.filter((other) => other !== place);
  const isUnderWay = (place: Place) =>
    others(place).some(({ slot, gate }) => slot.kind === "busy" || (slot.right.length > 0 && gate.kind === "down"));
  const sick = waiting.find(({ gate }) => gate.kind === "sick");
  if (sick !== undefined && !isUnderWay(sick)) return begun?.gate.kind === "sick" ? begun : sick;
  const ready = waiting.filter((place) => others(place).every(({ gate }) => gate.kind === "passing"));
  if (begun !== undefined && ready.includes(begun)) return begun;
  return ready.find((place) => holdersElsewhere(place, view).length === 0) ?? ready[0];
}

/** Ids of the containers that hold the ports that a place's new one needs, its own old one left aside. */
function holdersElsewhere({ slot }: Place, view: View): readonly string[] {
  const own = new Set([...slot.right, ...slot.wrong].map(({ container }) => container.id));
  return holdersOf(view, slot.instance.spec.ports, own).map(({ holder }) => holder.id);
}

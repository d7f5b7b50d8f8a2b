import { LABEL } from "../labels.ts";
import { isUp, type OwnedAppContainer } from "../owned.ts";
import type { Step } from "../step.ts";
import { startKey } from "./blocks.ts";
import { farewells, together, type Work } from "./farewell.ts";
import { mendHealth } from "./health.ts";
import { nameMend } from "./names-work.ts";
import type { SlotContext } from "./slot-context.ts";
import type { Slot } from "./slots.ts";
import { holdersOf, standingFailure } from "./view.ts";

/** The old container to fall back to, and those that are of no use. */
export function oldOf({ wrong }: Slot): { old: OwnedAppContainer | undefined; others: readonly OwnedAppContainer[] } {
  const old = wrong.find(({ container }) => container.phase !== "dead");
  return { old, others: wrong.filter((owned) => owned !== old) };
}

/** Keeps the old container of a slot going, and only one. @param gone the slot's containers that go before it is started */
export function oldWork(slot: Slot, { draft: { unit, app }, view }: SlotContext, gone: readonly OwnedAppContainer[] = []): Work {
  const { old, others } = oldOf(slot);
  const clearing = farewells(others, unit, app.stopGraceSeconds, view);
  if (old === undefined) return clearing;
  const { container } = old;
  if (isUp(container.phase)) {
    return together([clearing, nameMend(old, slot.name, unit, clearing.steps, view), mendHealth(old, unit, app.stopGraceSeconds, view)]);
  }
  // One of the wanted spec but of another image is not the container whose start may have been refused.
  const label = container.labels[LABEL.spec];
  const key = startKey(unit, slot.instance.index, label === undefined || label === slot.instance.hash ? container.id : label);
  const failure = standingFailure(view, key);
  if (failure !== undefined) return together([clearing, { steps: [], wakeAt: failure.notBefore, waiting: [key] }]);
  if (holdersOf(view, container.hostPorts, new Set([container.id])).length > 0) return clearing;
  const start: Step = { kind: "start", unit, key, containerId: container.id, ports: container.hostPorts, isExchange: false };
  const rightGone = gone.map((owned): Step => ({ kind: "remove", unit, key: "", containerId: owned.container.id, force: false }));
  return together([clearing, nameMend(old, slot.name, unit, [...clearing.steps, ...rightGone], view), { steps: [start], wakeAt: undefined }]);
}

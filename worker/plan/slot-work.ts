import type { OwnedAppContainer } from "../owned.ts";
import { connections } from "./connections.ts";
import { exchangeWork } from "./exchange-work.ts";
import { farewell, farewells, inLane, NO_WORK, together, type Work } from "./farewell.ts";
import { gateOf } from "./gate.ts";
import { mendHealth } from "./health.ts";
import { nameMend } from "./names-work.ts";
import type { SlotContext, SlotWork } from "./slot-context.ts";
import { type Slot, slotLane, upRight } from "./slots.ts";
import { APPLIED, failed, working } from "./states.ts";
import type { View } from "./view.ts";
import { wantedWork } from "./wanted-work.ts";

/**
 * The next steps of one slot, from labels and states alone: whatever an earlier worker left half done is one of these cases.
 * A replacement goes: create `<name>.next`; connect; stop the old one; rename the old to `.old`, the new to its name; start; remove the old.
 */
export function slotWork(slot: Slot, context: SlotContext): SlotWork {
  if (slot.busy) return { ...NO_WORK, state: working(busyStep(slot, context.view)) };
  return inLane(slotLane(context.draft.unit, slot.instance.index), freeWork(slot, context));
}

function freeWork(slot: Slot, context: SlotContext): SlotWork {
  if (upRight(slot) !== undefined) return settledWork(slot, context);
  return slot.right.length > 0 ? exchangeWork(slot, context) : wantedWork(slot, context);
}

/** What a busy slot is waited for. */
function busyStep(slot: Slot, { observed: { jobs }, unknownIds }: View): string {
  const own = [...slot.right, ...slot.wrong].map(({ container }) => container);
  if (own.some(({ id }) => jobs.stops.has(id))) return "stop";
  if (own.some(({ phase }) => phase === "removing")) return "remove";
  if (own.some(({ id }) => unknownIds.has(id))) return "inspect";
  return slot.right.length > 0 ? "start" : "create";
}

/** The wanted container runs: what else stands here goes, and whatever is amiss with it is mended. */
function settledWork(slot: Slot, { draft: { app, unit, blocks }, evicted, view }: SlotContext): SlotWork {
  const [keep, ...copies] = slot.right;
  if (keep === undefined) return { ...NO_WORK, state: working("create") };
  const block = blocks.get(slot)?.state;
  if (evicted.has(keep.container.id)) {
    return { ...farewell(keep, unit, app.stopGraceSeconds, view), state: block ?? working("stop") };
  }
  const farewellWork = farewells([...slot.wrong, ...copies], unit, app.stopGraceSeconds, view);
  const gate = gateOf(keep.container, app.minHealthyMs, slot.instance.spec.healthcheck, view);
  const work = together([
    adoption(keep, slot, unit, view),
    farewellWork,
    nameMend(keep, slot.name, unit, farewellWork.steps, view),
    connections(keep, slot.instance.spec, unit, view),
    mendHealth(keep, unit, app.stopGraceSeconds, view),
    { steps: [], wakeAt: "decidedAt" in gate ? gate.decidedAt : undefined },
  ]);
  if (block?.kind === "failed" && block.step === "claim") return { ...work, state: block };
  const nameHolder = view.byName.get(slot.name);
  if (nameHolder !== undefined && !view.ownedIds.has(nameHolder.id)) {
    return { ...work, state: failed("name", `the name ${slot.name} is taken by a container that this worker does not own; rename or remove that`) };
  }
  if (gate.kind === "paused") return { ...work, state: working("paused") };
  if (gate.kind === "sick") return { ...work, state: failed("health", gate.reason) };
  // Without a health check, running is all there is to be waited for, but for one that may be in a crash loop; a roll waits longer, at its gate.
  const isDoubtful = keep.container.health !== "none" || view.memory.runs.get(keep.container.id)?.foundRestarted === true;
  if (gate.kind === "undecided" && isDoubtful) return { ...work, state: working("health") };
  return { ...work, state: slot.wrong.length + copies.length > 0 ? working("remove") : APPLIED };
}

/** A container that inspect showed to be as wanted is remembered under that spec: once is enough. */
function adoption({ container: { id } }: OwnedAppContainer, { instance }: Slot, unit: string, view: View): Work {
  if (view.memory.adopted.has(id) || !view.observed.compared.has(id)) return NO_WORK;
  return { steps: [{ kind: "adopt", unit, key: `adopt ${id}`, containerId: id, spec: instance.hash }], wakeAt: undefined };
}

import { portText } from "../host-ports.ts";
import { isUp, type OwnedAppContainer } from "../owned.ts";
import type { Step } from "../step.ts";
import { connectKey, startKey } from "./blocks.ts";
import { connections } from "./connections.ts";
import { otherHolders, stayingHolders } from "./draft.ts";
import { farewell, farewells, NO_WORK, together, type Work } from "./farewell.ts";
import { makeRoom } from "./names-work.ts";
import { oldOf, oldWork } from "./old-work.ts";
import type { SlotContext, SlotWork } from "./slot-context.ts";
import type { Slot } from "./slots.ts";
import { failed, type TargetState, working } from "./states.ts";

/** The wanted container is made, but does not run. */
export function exchangeWork(slot: Slot, context: SlotContext): SlotWork {
  const { draft, view, leaving } = context;
  const { unit, blocks, turn, app } = draft;
  const [next, ...copies] = slot.right;
  if (next === undefined) return { ...NO_WORK, state: working("create") };
  const { old, others } = oldOf(slot);
  const block = blocks.get(slot);
  if (block !== undefined) {
    // What can't be started now makes room for what ran before; what may not have its ports is of no use.
    const makesRoom = block.state.kind === "failed" && (old !== undefined || block.state.step === "claim");
    const work = makesRoom
      ? together([farewells(slot.right, unit, app.stopGraceSeconds, view), oldWork(slot, context, slot.right)])
      : oldWork(slot, context);
    return { ...together([work, { steps: [], wakeAt: block.wakeAt }]), state: block.state };
  }
  const clearing = farewells([...copies, ...others], unit, app.stopGraceSeconds, view);
  const staying = stayingHolders(slot, leaving, view);
  if (old !== undefined && isUp(old.container.phase)) {
    if (!turn.slots.has(slot.instance.index)) return { ...together([clearing, oldWork(slot, context)]), state: working("roll") };
    if (staying.length > 0) return { ...clearing, state: heldState(staying, slot, context) };
    const networks = newConnections(slot, next, context);
    return { ...together([clearing, networks, farewell(old, unit, app.stopGraceSeconds, view)]), state: working("stop") };
  }
  if (others.some(({ container }) => isUp(container.phase))) return { ...clearing, state: working("stop") };
  // While something keeps the new one from being started, the old one runs.
  if (staying.length > 0)
    return { ...together([farewells(copies, unit, app.stopGraceSeconds, view), oldWork(slot, context)]), state: heldState(staying, slot, context) };
  if (otherHolders(slot, view).length > 0) return { ...clearing, state: working("ports") };
  return startWork(slot, next, old, clearing, context);
}

/** Names are put right, then the new container is started, then the old one goes. A refused start ends the sequence before that. */
function startWork(slot: Slot, next: OwnedAppContainer, old: OwnedAppContainer | undefined, clearing: Work, context: SlotContext): SlotWork {
  const { unit, app } = context.draft;
  const { view } = context;
  const { spec, hash, index } = slot.instance;
  const key = startKey(unit, index, hash);
  const { id } = next.container;
  if (view.memory.failures.get(key)?.containerId === id) {
    // The same container was refused before: what it was made with may be gone (a network that was made anew). Another one is made.
    return { ...together([clearing, farewell(next, unit, app.stopGraceSeconds, view)]), state: working("start") };
  }
  const networks = newConnections(slot, next, context);
  const start: Step = { kind: "start", unit, key, containerId: id, ports: spec.ports, isExchange: old !== undefined };
  const goodbye = old === undefined ? NO_WORK : farewell(old, unit, app.stopGraceSeconds, view);
  const names = makeRoom(slot.name, next, old, unit, clearing.steps, view);
  return { ...together([clearing, names, networks, { steps: [start], wakeAt: undefined }, goodbye]), state: working("start") };
}

/** Where a slot stands whose ports are held by containers of ours: those that are to be replaced only have to be waited for. */
function heldState(holderIds: readonly string[], slot: Slot, { departing, view }: SlotContext): TargetState {
  if (holderIds.every((id) => departing.has(id))) return working("ports");
  const holder = view.byId.get(holderIds[0] ?? "");
  const ports = slot.instance.spec.ports.map(portText).join(", ");
  return failed("ports", `a host port of ${slot.name} (${ports}) is held by container ${holder?.name ?? "of another app"}, which goes on as it is`);
}

/** The networks of a container that is yet to be started. One that cannot be connected blocks the slot (`blockOf`). */
function newConnections({ instance }: Slot, next: OwnedAppContainer, { draft: { unit }, view }: SlotContext): Work {
  return connections(next, instance.spec, unit, view, (network) => connectKey(unit, instance, network));
}

import { appLabels, LABEL } from "../labels.ts";
import { nextName, oldName, parkedName } from "../names.ts";
import { isUp, type OwnedAppContainer } from "../owned.ts";
import { isKnownSpecLabel } from "../spec-hash.ts";
import type { Step } from "../step.ts";
import { createKey, startKey } from "./blocks.ts";
import { connections } from "./connections.ts";
import { type AppDraft, otherHolders, stayingHolders } from "./draft.ts";
import { farewell, farewells, NO_WORK, together, unlessFailing, type Work } from "./farewell.ts";
import { gateOf } from "./gate.ts";
import { mendHealth } from "./health.ts";
import type { ImageReadiness } from "./image.ts";
import { type Slot, upRight } from "./slots.ts";
import { APPLIED, failed, type TargetState, working } from "./states.ts";
import { earlier, holdersOf, standingFailure, type View } from "./view.ts";

/** What is to be done in one slot, and where it stands. */
export type SlotWork = Work & Readonly<{ state: TargetState }>;

export type SlotContext = Readonly<{
  draft: AppDraft;
  /** Why there is no container to be made from the image yet; undefined: nobody asked. */
  image: ImageReadiness | undefined;
  leaving: ReadonlySet<string>;
  evicted: ReadonlySet<string>;
  departing: ReadonlySet<string>;
  view: View;
}>;

/**
 * The next steps of one slot, from labels and states alone: whatever an earlier worker left half done is one of these cases.
 * A replacement goes: create `<name>.next`; connect; stop the old one; rename the old to `.old`, the new to its name; start; remove the old.
 */
export function slotWork(slot: Slot, context: SlotContext): SlotWork {
  if (slot.busy) return { ...NO_WORK, state: working("stop") };
  if (upRight(slot) !== undefined) return settledWork(slot, context);
  return slot.right.length > 0 ? exchangeWork(slot, context) : wantedWork(slot, context);
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
    adoption(keep, slot, unit),
    farewellWork,
    nameMend(keep, slot.name, unit, farewellWork.steps, view),
    connections(keep, slot.instance.spec, unit, view),
    mendHealth(keep, unit, app.stopGraceSeconds, view),
    { steps: [], wakeAt: gate.kind === "undecided" ? gate.decidedAt : undefined },
  ]);
  if (block?.kind === "failed" && block.step === "claim") return { ...work, state: block };
  const nameHolder = view.byName.get(slot.name);
  if (nameHolder !== undefined && !view.ownedIds.has(nameHolder.id)) {
    return { ...work, state: failed("name", `the name ${slot.name} is taken by a container that is not Nebula's; rename or remove that`) };
  }
  if (gate.kind === "sick") return { ...work, state: failed("health", gate.reason) };
  // Without a health check, running is all there is to be waited for; a roll waits longer, at its gate.
  if (gate.kind === "undecided" && keep.container.health !== "none") return { ...work, state: working("health") };
  return { ...work, state: slot.wrong.length + copies.length > 0 ? working("remove") : APPLIED };
}

/** The wanted container is made, but does not run. */
function exchangeWork(slot: Slot, context: SlotContext): SlotWork {
  const { draft, view, leaving } = context;
  const { unit, blocks, turn, app } = draft;
  const [next, ...copies] = slot.right;
  if (next === undefined) return { ...NO_WORK, state: working("create") };
  const { old, others } = oldOf(slot);
  const block = blocks.get(slot);
  if (block !== undefined) {
    // What can't be started now makes room for what ran before; what may not have its ports is of no use.
    const makesRoom = block.state.kind === "failed" && (old !== undefined || block.state.step === "claim");
    const work = makesRoom ? together([farewells(slot.right, unit, app.stopGraceSeconds, view), oldWork(slot, context)]) : NO_WORK;
    return { steps: work.steps, wakeAt: earlier(work.wakeAt, block.wakeAt), state: block.state };
  }
  const clearing = farewells([...copies, ...others], unit, app.stopGraceSeconds, view);
  const staying = stayingHolders(slot, leaving, view);
  if (old !== undefined && isUp(old.container.phase)) {
    if (!turn.slots.has(slot.instance.index)) return { ...together([clearing, oldWork(slot, context)]), state: working("roll") };
    if (staying.length > 0) return { ...clearing, state: heldState(staying, slot, context) };
    const networks = connections(next, slot.instance.spec, unit, view);
    if (networks.wakeAt !== undefined) return { ...together([clearing, networks]), state: connectFailure(next, unit, view) };
    return { ...together([clearing, networks, farewell(old, unit, app.stopGraceSeconds, view)]), state: working("stop") };
  }
  if (others.some(({ container }) => isUp(container.phase))) return { ...clearing, state: working("stop") };
  if (staying.length > 0) return { ...clearing, state: heldState(staying, slot, context) };
  if (otherHolders(slot, view).length > 0) return { ...clearing, state: working("ports") };
  return startWork(slot, next, old, clearing, context);
}

/** Names are put right, then the new container is started, then the old one goes. A refused start ends the sequence before that. */
function startWork(
  slot: Slot,
  next: OwnedAppContainer,
  old: OwnedAppContainer | undefined,
  clearing: Work,
  { draft: { unit, app }, view }: SlotContext,
): SlotWork {
  const { spec, hash, index } = slot.instance;
  const key = startKey(unit, index, hash);
  const { id } = next.container;
  if (view.memory.failures.get(key)?.containerId === id) {
    // The same container was refused before: what it was made with may be gone (a network that was made anew). Another one is made.
    return { ...together([clearing, farewell(next, unit, app.stopGraceSeconds, view)]), state: working("start") };
  }
  const networks = connections(next, spec, unit, view);
  if (networks.wakeAt !== undefined) return { ...together([clearing, networks]), state: connectFailure(next, unit, view) };
  const start: Step = { kind: "start", unit, key, containerId: id, ports: spec.ports };
  const goodbye = old === undefined ? NO_WORK : farewell(old, unit, app.stopGraceSeconds, view);
  const names = makeRoom(slot.name, next, old, unit, clearing.steps, view);
  return { ...together([clearing, names, networks, { steps: [start], wakeAt: undefined }, goodbye]), state: working("start") };
}

/** Gives the new container its name; whoever of ours has that steps aside. */
function makeRoom(
  name: string,
  next: OwnedAppContainer,
  old: OwnedAppContainer | undefined,
  unit: string,
  before: readonly Step[],
  view: View,
): Work {
  if (next.container.name === name) return NO_WORK;
  const holder = view.byName.get(name);
  const isTaken = holder !== undefined && !removes(before, holder.id);
  const aside = holder?.id === old?.container.id ? oldName(name) : parkedName(name, holder?.id ?? "");
  return together([isTaken ? rename(holder.id, aside, unit, view) : NO_WORK, rename(next.container.id, name, unit, view)]);
}

/** There is no container of the wanted spec: it is made once nothing stands in its way, and until then the old one goes on. */
function wantedWork(slot: Slot, context: SlotContext): SlotWork {
  const { draft, image, view } = context;
  const { unit, blocks, turn, app } = draft;
  const block = blocks.get(slot);
  if (block !== undefined) {
    const old = oldWork(slot, context);
    return { steps: old.steps, wakeAt: earlier(old.wakeAt, block.wakeAt), state: block.state };
  }
  if (!turn.slots.has(slot.instance.index)) return { ...oldWork(slot, context), state: working("roll") };
  if (image === undefined || image.kind === "pull") return { ...oldWork(slot, context), state: working("pull") };
  if (image.kind === "waiting") {
    const old = oldWork(slot, context);
    return { steps: old.steps, wakeAt: earlier(old.wakeAt, image.wakeAt), state: image.state };
  }
  const name = slot.wrong.length === 0 && !view.byName.has(slot.name) ? slot.name : nextName(slot.name);
  const holder = view.byName.get(name);
  const create: Step = {
    kind: "create",
    unit,
    key: createKey(unit, slot.instance.index, slot.instance.hash),
    request: {
      name,
      spec: slot.instance.spec,
      labels: appLabels(app.name, slot.instance.index, app.restartCount, {
        instance: view.identity.instance,
        boot: view.identity.boot,
        cluster: view.desired.cluster,
        revision: app.revision,
        hash: slot.instance.hash,
      }),
    },
  };
  const room = holder === undefined ? NO_WORK : rename(holder.id, parkedName(name, holder.id), unit, view);
  return { ...together([room, { steps: [create], wakeAt: undefined }]), state: working("create") };
}

/** The old container to fall back to, and those that are of no use. */
function oldOf({ wrong }: Slot): { old: OwnedAppContainer | undefined; others: readonly OwnedAppContainer[] } {
  const old = wrong.find(({ container }) => container.phase !== "dead");
  return { old, others: wrong.filter((owned) => owned !== old) };
}

/** Keeps the old container of a slot going, and only one. */
function oldWork(slot: Slot, { draft: { unit, app }, view }: SlotContext): Work {
  const { old, others } = oldOf(slot);
  const clearing = farewells(others, unit, app.stopGraceSeconds, view);
  if (old === undefined) return clearing;
  const { container } = old;
  if (isUp(container.phase)) {
    return together([clearing, nameMend(old, slot.name, unit, clearing.steps, view), mendHealth(old, unit, app.stopGraceSeconds, view)]);
  }
  const key = startKey(unit, slot.instance.index, container.labels[LABEL.spec] ?? container.id);
  const failure = standingFailure(view, key);
  if (failure !== undefined) return together([clearing, { steps: [], wakeAt: failure.notBefore }]);
  if (holdersOf(view, container.hostPorts, new Set([container.id])).length > 0) return clearing;
  const start: Step = { kind: "start", unit, key, containerId: container.id, ports: container.hostPorts };
  const rightGone = slot.right.map((owned): Step => ({ kind: "remove", unit, key: "", containerId: owned.container.id, force: false }));
  return together([clearing, nameMend(old, slot.name, unit, [...clearing.steps, ...rightGone], view), { steps: [start], wakeAt: undefined }]);
}

/** Gives a container its name back, when that is free or becomes free by earlier steps of the same round. */
function nameMend({ container }: OwnedAppContainer, name: string, unit: string, before: readonly Step[], view: View): Work {
  if (container.name === name) return NO_WORK;
  const holder = view.byName.get(name);
  if (holder === undefined || removes(before, holder.id)) return rename(container.id, name, unit, view);
  const isOnItsWayOut = before.some((step) => "containerId" in step && step.containerId === holder.id);
  if (!view.ownedIds.has(holder.id) || isOnItsWayOut) return NO_WORK;
  // Two of ours with each other's names: one steps aside, and gets its own name at the next look.
  return rename(holder.id, parkedName(name, holder.id), unit, view);
}

function removes(steps: readonly Step[], containerId: string): boolean {
  return steps.some((step) => step.kind === "remove" && step.containerId === containerId);
}

function rename(containerId: string, name: string, unit: string, view: View): Work {
  return unlessFailing({ kind: "rename", unit, key: `rename ${containerId}`, containerId, name }, view);
}

/** A container whose spec was told by inspect is remembered under the spec that it fits. */
function adoption(owned: OwnedAppContainer, { instance }: Slot, unit: string): Work {
  if (owned.specLabel === instance.hash || isKnownSpecLabel(owned.specLabel)) return NO_WORK;
  const { id } = owned.container;
  return { steps: [{ kind: "adopt", unit, key: `adopt ${id}`, containerId: id, spec: instance.hash }], wakeAt: undefined };
}

/** Where a slot stands whose ports are held by containers of ours: those that are to be replaced only have to be waited for. */
function heldState(holderIds: readonly string[], slot: Slot, { departing, view }: SlotContext): TargetState {
  if (holderIds.every((id) => departing.has(id))) return working("ports");
  const holder = view.byId.get(holderIds[0] ?? "");
  const ports = slot.instance.spec.ports.map(({ hostPort }) => hostPort).join(", ");
  return failed("ports", `a host port of ${slot.name} (${ports}) is held by container ${holder?.name ?? "of another app"}, which goes on as it is`);
}

function connectFailure(next: OwnedAppContainer, unit: string, view: View): TargetState {
  const prefix = `connect ${next.container.id} `;
  const failure = [...view.memory.failures].find(([key]) => key.startsWith(prefix))?.[1];
  if (failure === undefined) return working(`connect of ${unit}`);
  return failed("connect", failure.reason, { tries: failure.tries, retryAt: failure.notBefore });
}

import { portText } from "../../../common/desired/host-ports.ts";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import { appLabels, LABEL } from "../../observed/labels.ts";
import { nextName, oldName, parkedName } from "../../observed/names.ts";
import { isUp, type OwnedAppContainer } from "../../observed/owned.ts";
import { gateOf, repairHealth } from "../health.ts";
import type { ImageUse } from "../images/pull.ts";
import { connections } from "../networks.ts";
import { otherHolders, type PortMoves, stayingHolders } from "../ports/exchange.ts";
import type { AppDraft } from "../slots/draft.ts";
import type { Slot, SlotOf } from "../slots/slots.ts";
import { APPLIED, failed, type TargetState, working } from "../states.ts";
import { keyOf, type Step } from "../step.ts";
import { holdersOf, standingFailure, type View } from "../view.ts";
import { inLane, NO_WORK, removalOf, removalsOf, stepsOf, together, unlessFailing, type Work } from "../work.ts";

export type SlotContext = Readonly<{
  draft: AppDraft;
  /** Whether a container may be made of the image now; undefined: none is to be made. */
  image: ImageUse | undefined;
  ports: PortMoves;
  view: View;
}>;

/** The steps of one slot, and its state. */
export type SlotWork = Work & Readonly<{ state: TargetState }>;

/**
 * How a container is replaced. The next steps follow from labels and states alone (I7), so a replacement that an earlier
 * worker left half done is one of these cases:
 * 1. `wanted`: create `<name>.next`, while the old container keeps running;
 * 2. `exchanging`: connect it; stop the old one; rename the old one to `.old`, the new one to its name; start it; remove
 *    the old one;
 * 3. `settled`: the new one runs; other containers of the slot are removed, and drift is repaired.
 * A create that fails touches nothing. A start that is refused brings the old container back. A container that starts,
 * and then exits or is unhealthy, is not taken back: its app has failed, with the step `health`.
 */
export function slotWork(slot: Slot, context: SlotContext): SlotWork {
  switch (slot.kind) {
    case "busy":
      return { ...NO_WORK, state: working(slot.waitsFor) };
    case "wanted":
      return inLane(slot.lane, createWork(slot, context));
    case "exchanging":
      return inLane(slot.lane, exchangeWork(slot, context));
    case "settled":
      return inLane(slot.lane, settledWork(slot, context));
    default:
      return assertNever(slot);
  }
}

/** 1. The old container keeps running until the image is ready and the new container is made. */
function createWork(slot: SlotOf<"wanted">, context: SlotContext): SlotWork {
  const { draft, image, view } = context;
  const { unit, blocks, turn, app } = draft;
  const block = blocks.get(slot);
  const old = keepOld(slot, context);
  if (block !== undefined) return { ...together([old, { steps: [], wakeAt: block.wakeAt }]), state: block.state };
  if (!turn.slots.has(slot.instance.index)) return { ...old, state: working("roll") };
  if (image === undefined) return { ...old, state: working("pull") };
  if (image.kind === "waiting") return { ...old, state: image.state };
  const name = slot.wrong.length === 0 && !view.byName.has(slot.name) ? slot.name : nextName(slot.name);
  const labels = appLabels(app.name, slot.instance.index, app.restartCount, {
    instance: view.identity.instance,
    boot: view.identity.boot,
    cluster: view.desired.cluster,
    revision: app.revision,
    hash: slot.instance.hash,
    isStale: image.isStale,
  });
  const successorOf = app.renewsVolumes ? undefined : slot.old?.container.id;
  const create: Step = { kind: "create", unit, place: slot.place, request: { name, spec: slot.instance.spec, successorOf, labels } };
  const holder = view.byName.get(name);
  const room = holder === undefined ? NO_WORK : rename(holder.id, parkedName(name, holder.id), unit, view);
  return { ...together([room, stepsOf(create)]), state: working("create") };
}

/** 2. The new container takes the place of the old one once nothing blocks its start. */
function exchangeWork(slot: SlotOf<"exchanging">, context: SlotContext): SlotWork {
  const { draft, view, ports } = context;
  const { unit, app, turn } = draft;
  const { next, copies, old, others } = slot;
  const block = draft.blocks.get(slot);
  if (block !== undefined) {
    // A new container that cannot start is removed, and the old one runs again. One that lost its claim is removed in any case.
    const isRemoved = block.state.kind === "failed" && (old !== undefined || block.cause === "claim");
    const work = isRemoved
      ? together([removalsOf(slot.right, unit, app.stopGraceSeconds, view), keepOld(slot, context, slot.right)])
      : keepOld(slot, context);
    return { ...together([work, { steps: [], wakeAt: block.wakeAt }]), state: block.state };
  }
  const clearing = removalsOf([...copies, ...others], unit, app.stopGraceSeconds, view);
  const staying = stayingHolders(slot, ports.leaving, view);
  if (old !== undefined && isUp(old.container.phase)) {
    if (!turn.slots.has(slot.instance.index)) return { ...together([clearing, keepOld(slot, context)]), state: working("roll") };
    if (staying.length > 0) return { ...clearing, state: heldState(staying, slot, context) };
    const networks = connections(next, slot.instance.spec, unit, view, slot.place);
    // The first step of a removal is the stop; the rest of it comes once the new container has started.
    return { ...together([clearing, networks, removalOf(old, unit, app.stopGraceSeconds, view)]), state: working("stop") };
  }
  if (others.some(({ container }) => isUp(container.phase))) return { ...clearing, state: working("stop") };
  if (staying.length > 0) {
    // The old container runs while another one that stays blocks the start of the new one.
    const work = together([removalsOf(copies, unit, app.stopGraceSeconds, view), keepOld(slot, context)]);
    return { ...work, state: heldState(staying, slot, context) };
  }
  if (otherHolders(slot, view).length > 0) return { ...clearing, state: working("ports") };
  return startWork(slot, clearing, context);
}

/** Renames, starts the new container, then removes the old one. A refused start ends the lane before that. */
function startWork({ next, old, place, name, instance }: SlotOf<"exchanging">, clearing: Work, context: SlotContext): SlotWork {
  const { unit, app } = context.draft;
  const { view } = context;
  const { id } = next.container;
  const start: Step = { kind: "start", unit, place, containerId: id, ports: instance.spec.ports, isExchange: old !== undefined };
  if (view.memory.failures.get(keyOf(start))?.containerId === id) {
    // A start of this same container was refused: what it was made with, such as a network, may be gone. Another one is made.
    return { ...together([clearing, removalOf(next, unit, app.stopGraceSeconds, view)]), state: working("start") };
  }
  const names = takeName(name, next, old, unit, clearing.steps, view);
  const networks = connections(next, instance.spec, unit, view, place);
  const removal = old === undefined ? NO_WORK : removalOf(old, unit, app.stopGraceSeconds, view);
  return { ...together([clearing, names, networks, stepsOf(start), removal]), state: working("start") };
}

/** The state of a slot whose ports are held by owned containers: those that will be replaced only have to be waited for. */
function heldState(holderIds: readonly string[], slot: Slot, { ports: { departing }, view }: SlotContext): TargetState {
  if (holderIds.every((id) => departing.has(id))) return working("ports");
  const holder = view.byId.get(holderIds[0] ?? "");
  const ports = slot.instance.spec.ports.map(portText).join(", ");
  const reason = `a host port of ${slot.name} (${ports}) is held by container ${holder?.name ?? "of another app"}, which goes on as it is`;
  return failed("ports", { code: FailureCode.PORT_TAKEN, reason });
}

/** 3. The wanted container runs: the others are removed, and drift is repaired. */
function settledWork(slot: SlotOf<"settled">, { draft: { app, unit, blocks }, ports: { evicted }, view }: SlotContext): SlotWork {
  const { keep, copies } = slot;
  const block = blocks.get(slot);
  if (evicted.has(keep.container.id)) {
    return { ...removalOf(keep, unit, app.stopGraceSeconds, view), state: block?.state ?? working("stop") };
  }
  const removals = removalsOf([...slot.wrong, ...copies], unit, app.stopGraceSeconds, view);
  const gate = gateOf(keep.container, app.minHealthyMs, slot.instance.spec.healthcheck, view);
  const work = together([
    adoption(keep, slot, unit, view),
    removals,
    repairName(keep, slot.name, unit, removals.steps, view),
    connections(keep, slot.instance.spec, unit, view),
    repairHealth(keep, unit, app.stopGraceSeconds, view),
    { steps: [], wakeAt: "decidedAt" in gate ? gate.decidedAt : undefined },
  ]);
  if (block?.cause === "claim") return { ...work, state: block.state };
  const nameHolder = view.byName.get(slot.name);
  if (nameHolder !== undefined && !view.ownedIds.has(nameHolder.id)) {
    const reason = `the name ${slot.name} is taken by a container that this worker does not own; rename or remove that`;
    return { ...work, state: failed("name", { code: FailureCode.NAME_TAKEN, reason }) };
  }
  if (gate.kind === "paused") return { ...work, state: working("paused", { code: FailureCode.PAUSED }) };
  if (gate.kind === "sick") return { ...work, state: failed("health", gate) };
  // Without a health check a container that runs is applied, except one that may be in a crash loop. A roll waits longer, at its gate.
  const isDoubtful = keep.container.health !== "none" || view.memory.runs.get(keep.container.id)?.foundRestarted === true;
  if (gate.kind === "undecided" && isDoubtful) return { ...work, state: working("health") };
  return { ...work, state: slot.wrong.length + copies.length > 0 ? working("remove") : APPLIED };
}

/** Remembers the spec of a container that inspect showed to fit, once. */
function adoption({ container: { id } }: OwnedAppContainer, { instance }: Slot, unit: string, view: View): Work {
  if (view.memory.adopted.has(id) || !view.observed.compared.has(id)) return NO_WORK;
  return stepsOf({ kind: "adopt", unit, containerId: id, spec: instance.hash });
}

/**
 * Keeps the old container of a slot running, and only that one.
 * @param removed containers of the slot that are removed before it is started
 */
function keepOld(slot: Slot, { draft: { unit, app, blocks }, ports: moves, view }: SlotContext, removed: readonly OwnedAppContainer[] = []): Work {
  const { old, others } = slot;
  const clearing = removalsOf(others, unit, app.stopGraceSeconds, view);
  if (old === undefined) return clearing;
  const { id: containerId, phase, labels, hostPorts: ports } = old.container;
  if (isUp(phase)) {
    return together([clearing, repairName(old, slot.name, unit, clearing.steps, view), repairHealth(old, unit, app.stopGraceSeconds, view)]);
  }
  // An old container of the wanted spec, but of another image, is not the container whose start may have been refused.
  const spec = labels[LABEL.spec];
  const place = spec === undefined || spec === slot.instance.hash ? undefined : `${slot.lane} ${spec}`;
  const start: Step = { kind: "start", unit, place, containerId, ports, isExchange: false };
  const failure = standingFailure(view, keyOf(start));
  if (failure !== undefined) return together([clearing, { steps: [], wakeAt: failure.notBefore, waiting: [keyOf(start)] }]);
  if (holdersOf(view, ports, new Set([containerId])).length > 0) return clearing;
  const block = blocks.get(slot);
  const isHeld = stayingHolders(slot, moves.departing, view).length > 0;
  const stays = block === undefined ? isHeld : block.state.kind === "failed" && block.cause !== "failure";
  if (!moves.mayTake(ports, { slot, stays })) return clearing;
  const name = repairName(old, slot.name, unit, clearing.steps, view, new Set(removed.map(({ container }) => container.id)));
  return together([clearing, name, stepsOf(start)]);
}

/** Gives the new container its name; the container of this worker that has the name is renamed first. */
function takeName(
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
  const otherName = holder?.id === old?.container.id ? oldName(name) : parkedName(name, holder?.id ?? "");
  return together([isTaken ? rename(holder.id, otherName, unit, view) : NO_WORK, rename(next.container.id, name, unit, view)]);
}

/** Renames a container back once its name is free, or is freed by earlier steps of the same round. */
function repairName(
  { container }: OwnedAppContainer,
  name: string,
  unit: string,
  before: readonly Step[],
  view: View,
  removed: ReadonlySet<string> = new Set(),
): Work {
  if (container.name === name) return NO_WORK;
  const holder = view.byName.get(name);
  if (holder === undefined || removed.has(holder.id) || removes(before, holder.id)) return rename(container.id, name, unit, view);
  const isLeaving = before.some((step) => "containerId" in step && step.containerId === holder.id);
  if (!view.ownedIds.has(holder.id) || isLeaving) return NO_WORK;
  // Two owned containers with each other's names: one is renamed aside, and gets its own name at the next look.
  return rename(holder.id, parkedName(name, holder.id), unit, view);
}

function removes(steps: readonly Step[], containerId: string): boolean {
  return steps.some((step) => step.kind === "remove" && step.containerId === containerId);
}

function rename(containerId: string, name: string, unit: string, view: View): Work {
  return unlessFailing({ kind: "rename", unit, containerId, name }, view);
}

import type { ContainerSpec } from "../../../common/desired/container-spec.ts";
import type { RunningApp } from "../../../common/desired/desired.ts";
import { portText } from "../../../common/desired/host-ports.ts";
import type { PortClaims } from "../../../common/desired/port-claims.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import { nextName, oldName } from "../../observed/names.ts";
import { appUnit, type OwnedAppContainer } from "../../observed/owned.ts";
import { networkBlock } from "../networks.ts";
import { nameOf } from "../standing.ts";
import { type Block, failed } from "../states.ts";
import { placeKeys } from "../step.ts";
import { holdersOf, standingFailure, type View } from "../view.ts";
import { type Turn, turnOf } from "./roll.ts";
import { type Slot, slotsOf } from "./slots.ts";

/** A running app before its steps are planned: they depend on the ports that other apps give up. */
export type AppDraft = Readonly<{
  app: RunningApp;
  unit: string;
  containers: readonly OwnedAppContainer[];
  slots: readonly Slot[];
  /** Containers without a slot. */
  surplus: readonly OwnedAppContainer[];
  blocks: ReadonlyMap<Slot, Block>;
  turn: Turn;
}>;

export function draftOf(app: RunningApp, containers: readonly OwnedAppContainer[], claims: PortClaims, view: View): AppDraft {
  const { slots, surplus } = slotsOf(app, containers, view);
  const blocks = new Map<Slot, Block>();
  for (const slot of slots) {
    const block = blockOf(slot, claims, view);
    if (block !== undefined) blocks.set(slot, block);
  }
  return { app, unit: appUnit(app.name), containers, slots, surplus, blocks, turn: turnOf(app, slots, blocks, view) };
}

/** Whether the surplus containers of an app are removed now: at once, but in a roll last. */
export function surplusMayGo({ app, slots }: AppDraft): boolean {
  return !app.rolling || slots.every(({ wrong }) => wrong.length === 0);
}

/** The keys of the steps by which a slot gets its wanted container. */
export function slotKeys({ place, instance }: Slot): readonly string[] {
  return placeKeys(place, instance.spec.networks);
}

/** I6: everything that can be checked before a container is stopped, except the image. */
function blockOf(slot: Slot, claims: PortClaims, view: View): Block | undefined {
  const { app, instance } = slot;
  const refusals = [
    { cause: "claim", code: FailureCode.CONFIG_INVALID, reason: instance.refusal },
    { cause: "claim", code: FailureCode.CLAIM_LOST, reason: claims.lost(app.name, instance.index) },
    { cause: "name", code: FailureCode.NAME_TAKEN, reason: selfRefusal(slot, view) ?? foreignName(slot, view) },
    { cause: "ports", code: FailureCode.PORT_TAKEN, reason: foreignPort(instance.spec, view) },
  ] as const;
  for (const { cause, code, reason } of refusals)
    if (reason !== undefined) return { cause, state: failed(cause, { code, reason }), wakeAt: undefined };
  return networkBlock(instance.spec, view) ?? failureBlock(slot, view);
}

function failureBlock(slot: Slot, view: View): Block | undefined {
  for (const key of slotKeys(slot)) {
    const failure = standingFailure(view, key);
    if (failure === undefined) continue;
    const { step, tries, notBefore } = failure;
    return { cause: "failure", state: failed(nameOf(step), failure, { tries, retryAt: notBefore }), wakeAt: notBefore };
  }
  return undefined;
}

function selfRefusal({ name, app }: Slot, view: View): string | undefined {
  if (view.self?.name !== name) return undefined;
  return `${name} is the container that this worker runs in; give app ${app.name} another name`;
}

function foreignName({ name }: Slot, view: View): string | undefined {
  for (const taken of [name, nextName(name), oldName(name)]) {
    const holder = view.byName.get(taken);
    if (holder !== undefined && !view.ownedIds.has(holder.id)) {
      return `the name ${taken} is taken by a container that this worker does not own; rename or remove that`;
    }
  }
  return undefined;
}

/** Why a host port cannot be had: a foreign container publishes it. */
function foreignPort(spec: Pick<ContainerSpec, "ports">, view: View): string | undefined {
  const taken = holdersOf(view, spec.ports, view.ownedIds)[0];
  if (taken === undefined) return undefined;
  const port = portText(taken.port);
  return `host port ${port} is published by container ${taken.holder.name}, which this worker does not own; stop that, or change starting_ports`;
}

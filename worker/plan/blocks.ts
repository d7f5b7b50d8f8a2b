import { standsAlone } from "../../common/validation/networks.ts";
import { NEBULA_NETWORK } from "../container-spec.ts";
import { portText } from "../host-ports.ts";
import type { DesiredInstance } from "../model.ts";
import { nextName, oldName } from "../names.ts";
import type { ContainerSpec } from "../runtime/container-runtime.ts";
import { spareNetworks } from "./network.ts";
import type { PortClaims } from "./port-claims.ts";
import type { Slot } from "./slots.ts";
import { failed, type TargetState, working } from "./states.ts";
import { holdersOf, standingFailure, type View } from "./view.ts";

/** What keeps a slot from getting its wanted container now. */
export type Block = Readonly<{ state: TargetState; wakeAt: number | undefined }>;

export function createKey(unit: string, index: number, hash: string): string {
  return `create ${unit} ${index} ${hash}`;
}

export function startKey(unit: string, index: number, hash: string): string {
  return `start ${unit} ${index} ${hash}`;
}

/** Of a container that is yet to be started: each try may be with another one. */
export function connectKey(unit: string, { index, hash }: DesiredInstance, network: string): string {
  return `connect ${unit} ${index} ${hash} ${network}`;
}

/** Keys of the steps by which a slot gets its wanted container. */
export function slotKeys({ instance }: Slot, unit: string): readonly string[] {
  const { index, hash, spec } = instance;
  return [startKey(unit, index, hash), createKey(unit, index, hash), ...spec.networks.map((network) => connectKey(unit, instance, network))];
}

/** What stands in the way of a slot's wanted container, the image left aside. Looked at before anything is stopped. */
export function blockOf(slot: Slot, unit: string, claims: PortClaims, view: View): Block | undefined {
  const { app, instance } = slot;
  const refusals: readonly (readonly [step: string, reason: string | undefined])[] = [
    ["claim", instance.refusal ?? claims.lost(app.name, instance.index)],
    ["name", selfRefusal(slot, view) ?? foreignName(slot, view)],
    ["ports", foreignPort(instance.spec, view)],
  ];
  for (const [step, reason] of refusals) if (reason !== undefined) return { state: failed(step, reason), wakeAt: undefined };
  return networkBlock(instance.spec, view) ?? failureBlock(slot, unit, view);
}

/** Why a spec's networks do not do; undefined: they do. */
export function networkBlock(spec: ContainerSpec, view: View): Block | undefined {
  if (standsAlone(spec.networks)) return undefined;
  const missing = spec.networks.filter((network) => !view.networks.has(network));
  const listed = missing.find((network) => network !== NEBULA_NETWORK);
  if (listed !== undefined) {
    return { state: failed("network", `network ${listed} does not exist on this device; create it, or take it out of networks`), wakeAt: undefined };
  }
  const isAwaited = missing.length > 0 || (spec.networks.includes(NEBULA_NETWORK) && spareNetworks(view).length > 0);
  return isAwaited ? { state: working("network"), wakeAt: undefined } : undefined;
}

function failureBlock(slot: Slot, unit: string, view: View): Block | undefined {
  for (const key of slotKeys(slot, unit)) {
    const failure = standingFailure(view, key);
    if (failure === undefined) continue;
    const { step, reason, tries, notBefore } = failure;
    return { state: failed(step, reason, { tries, retryAt: notBefore }), wakeAt: notBefore };
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
    if (holder !== undefined && !view.ownedIds.has(holder.id))
      return `the name ${taken} is taken by a container that this worker does not own; rename or remove that`;
  }
  return undefined;
}

/** A host port that a container not ours publishes: why, in one sentence. */
function foreignPort(spec: Pick<ContainerSpec, "ports">, view: View): string | undefined {
  const taken = holdersOf(view, spec.ports, view.ownedIds)[0];
  return (
    taken &&
    `host port ${portText(taken.port)} is published by container ${taken.holder.name}, which this worker does not own; stop that, or change starting_ports`
  );
}

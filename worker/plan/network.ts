import { NEBULA_NETWORK } from "../container-spec.ts";
import { isUp } from "../owned.ts";
import type { ObservedNetwork } from "../runtime/container-runtime.ts";
import { together, unlessFailing, type Work } from "./farewell.ts";
import { isOfNebula, type View } from "./view.ts";

/** The key of the step that makes the network `nebula`, or removes a duplicate of it: apps wait for both. */
export const NETWORK_KEY = `network ${NEBULA_NETWORK}`;

const UNIT = "network";

/**
 * The network `nebula` is part of every plan: removed by hand, it is made again. Where two workers that started together made one each, no container
 * can be started on either, because its name is ambiguous: those that nothing uses are removed, but for the one that stays.
 */
export function networkWork(view: View): Work {
  if (!view.networks.has(NEBULA_NETWORK))
    return unlessFailing({ kind: "create_network", unit: UNIT, key: NETWORK_KEY, network: NEBULA_NETWORK }, view);
  return together(spareNetworks(view).map(({ id }) => unlessFailing({ kind: "remove_network", unit: UNIT, key: NETWORK_KEY, networkId: id }, view)));
}

/** Duplicates of the network `nebula` that a worker made and that no container uses. */
export function spareNetworks({ networks, observed }: View): readonly ObservedNetwork[] {
  const keep = networks.get(NEBULA_NETWORK);
  const used = new Set(observed.containers.flatMap(({ phase, networkIds }) => (isUp(phase) ? networkIds : [])));
  return observed.networks.filter((network) => network.name === NEBULA_NETWORK && network !== keep && isOfNebula(network) && !used.has(network.id));
}

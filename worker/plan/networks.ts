import { type ContainerSpec, NEBULA_NETWORK } from "../../common/desired/container-spec.ts";
import { standsAlone } from "../../common/validation/container/network.ts";
import { FailureCode } from "../../gen/nebula/v1/report_pb.ts";
import { isUp, type Owned } from "../observed/owned.ts";
import type { ObservedContainer, ObservedNetwork } from "../runtime/container-runtime.ts";
import { type Block, failed, working } from "./states.ts";
import { NETWORK_UNIT } from "./step.ts";
import { isOfNebula, type View } from "./view.ts";
import { NO_WORK, together, unlessFailing, type Work } from "./work.ts";

/**
 * The network `nebula` is part of every plan: removed by hand, it is made again. Where two workers that started
 * together made one each, no container can be started on either, because its name is ambiguous: all but one are
 * removed. Containers of this worker move to the one that stays first; those of another are moved by that one.
 */
export function networkWork(view: View): Work {
  if (!view.networks.has(NEBULA_NETWORK)) return unlessFailing({ kind: "create_network", unit: NETWORK_UNIT, network: NEBULA_NETWORK }, view);
  return together(
    duplicates(view).map((duplicate) =>
      duplicate.isRemovable
        ? unlessFailing({ kind: "remove_network", unit: NETWORK_UNIT, networkId: duplicate.network.id }, view)
        : together(duplicate.mine.map((container) => move(container, duplicate.network, view))),
    ),
  );
}

/** Whether a duplicate of the network `nebula` can be removed once this worker has moved its containers: until then no container is started on either. */
function hasSpareNetwork(view: View): boolean {
  return duplicates(view).some(({ isRemovable, isAllMine }) => isRemovable || isAllMine);
}

type Duplicate = Readonly<{
  network: ObservedNetwork;
  /** Nothing uses it. */
  isRemovable: boolean;
  /** Those of its users that this worker may act on. */
  mine: readonly ObservedContainer[];
  isAllMine: boolean;
}>;

/** Networks `nebula` that a worker made, but for the one that stays. One that somebody else's containers are on stays too, and keeps what is on it. */
function duplicates({ networks, observed, ownedIds }: View): readonly Duplicate[] {
  const keep = networks.get(NEBULA_NETWORK);
  const spare = observed.networks.filter((network) => network.name === NEBULA_NETWORK && network !== keep && isOfNebula(network));
  if (spare.length === 0) return [];
  const up = observed.containers.filter(({ phase }) => isUp(phase));
  return spare.map((network) => {
    const users = up.filter(({ networkIds }) => networkIds.includes(network.id));
    const mine = users.every(isOfNebula) ? users.filter(({ id }) => ownedIds.has(id)) : [];
    return { network, isRemovable: users.length === 0, mine, isAllMine: mine.length > 0 && mine.length === users.length };
  });
}

/** A container cannot be on two networks of one name, so it is on neither for the moment between the two calls. */
function move({ id: containerId }: ObservedContainer, from: ObservedNetwork, view: View): Work {
  const networkId = view.networks.get(NEBULA_NETWORK)?.id ?? NEBULA_NETWORK;
  const off = unlessFailing({ kind: "disconnect", unit: NETWORK_UNIT, containerId, networkId: from.id }, view);
  const on = unlessFailing({ kind: "connect", unit: NETWORK_UNIT, containerId, network: NEBULA_NETWORK, networkId }, view);
  return together([off, on]);
}

/**
 * Connects a container to the networks of its spec that it is not on.
 * @param place of a container that has not been started yet: each try may be with another one
 */
export function connections({ container }: Owned, spec: ContainerSpec, unit: string, view: View, place?: string): Work {
  if (standsAlone(spec.networks)) return NO_WORK;
  const missing = spec.networks.filter((network) => !container.networks.includes(network) && view.networks.has(network));
  return together(
    missing.map((network) => {
      const networkId = view.networks.get(network)?.id ?? network;
      return unlessFailing({ kind: "connect", unit, place, containerId: container.id, network, networkId }, view);
    }),
  );
}

/** Why the networks of a spec are not available; undefined if they are. */
export function networkBlock(spec: ContainerSpec, view: View): Block | undefined {
  if (standsAlone(spec.networks)) return undefined;
  const missing = spec.networks.filter((network) => !view.networks.has(network));
  const listed = missing.find((network) => network !== NEBULA_NETWORK);
  if (listed !== undefined) {
    const reason = `network ${listed} does not exist on this device; create it, or take it out of networks`;
    return {
      cause: "network",
      state: failed("network", { code: FailureCode.NETWORK_MISSING, reason }),
      wakeAt: undefined,
    };
  }
  const isAwaited = missing.length > 0 || (spec.networks.includes(NEBULA_NETWORK) && hasSpareNetwork(view));
  return isAwaited ? { cause: "network", state: working("network"), wakeAt: undefined } : undefined;
}

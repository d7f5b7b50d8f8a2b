import type { HostPort } from "../../common/desired/container-spec.ts";
import type { Desired } from "../../common/desired/desired.ts";
import { PortMap } from "../../common/desired/host-ports.ts";
import { LABEL, ORCHESTRATOR } from "../observed/labels.ts";
import type { Now, Observed, WorkerIdentity } from "../observed/observed.ts";
import { type Classified, isUp } from "../observed/owned.ts";
import type { ObservedContainer, ObservedNetwork } from "../runtime/container-runtime.ts";
import { type Failure, type Memory, uninspectable } from "./memory/memory.ts";

export type PlanContext = Readonly<{ now: Now; memory: Memory; identity: WorkerIdentity }>;

/** The input of a plan with its indexes, made once per plan. */
export type View = PlanContext &
  Classified &
  Readonly<{
    desired: Desired;
    observed: Observed;
    byName: ReadonlyMap<string, ObservedContainer>;
    byId: ReadonlyMap<string, ObservedContainer>;
    /** By name: the network to use, of several the one that stays. */
    networks: ReadonlyMap<string, ObservedNetwork>;
    /** Normalised references of the images on the device. */
    images: ReadonlySet<string>;
    imageIds: ReadonlySet<string>;
    /** Up containers by the host ports that they hold, ours and others'. */
    portHolders: Pick<PortMap<ObservedContainer>, "colliding">;
    ownedIds: ReadonlySet<string>;
    /** Containers that cannot be inspected: their places are busy, and nothing is done to them. */
    unknownIds: ReadonlySet<string>;
  }>;

export function viewOf(desired: Desired, observed: Observed, context: PlanContext): View {
  const { classified } = observed;
  return {
    ...context,
    ...classified,
    desired,
    observed,
    byName: new Map(observed.containers.map((container) => [container.name, container])),
    byId: new Map(observed.containers.map((container) => [container.id, container])),
    networks: networksByName(observed),
    images: new Set(observed.images.flatMap(({ references }) => references)),
    imageIds: new Set(observed.images.map(({ id }) => id)),
    portHolders: holdersByPort(observed.containers),
    ownedIds: new Set(classified.owned.map(({ container }) => container.id)),
    unknownIds: uninspectable(context.memory),
  };
}

function holdersByPort(containers: readonly ObservedContainer[]): PortMap<ObservedContainer> {
  const holders = new PortMap<ObservedContainer>();
  for (const container of containers) {
    if (!isUp(container.phase)) continue;
    for (const port of container.hostPorts) holders.add(port, container);
  }
  return holders;
}

/** Up containers that hold one of these ports, but for those with the given ids. */
export function holdersOf(
  view: View,
  ports: readonly HostPort[],
  except: ReadonlySet<string>,
): readonly Readonly<{ port: HostPort; holder: ObservedContainer }>[] {
  return ports.flatMap((port) =>
    view.portHolders
      .colliding(port)
      .filter(({ id }) => !except.has(id))
      .map((holder) => ({ port, holder })),
  );
}

/** The failure that still keeps a step from being tried; undefined: it may be tried. */
export function standingFailure(view: View, key: string): Failure | undefined {
  const failure = view.memory.failures.get(key);
  if (failure === undefined || view.now.monotonic >= failure.notBefore) return undefined;
  // A port that made the engine refuse is free again: no reason to wait.
  const { holders } = failure;
  if (holders !== undefined && holders.length > 0 && !holders.some((id) => isUp(view.byId.get(id)?.phase ?? "exited"))) return undefined;
  return failure;
}

/** The earlier of two times. */
export function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

/**
 * Of several networks of one name that stays which is in use, first by containers that no worker made, or which the worker may not remove (it made none
 * but those with its label); else the oldest. Every worker on the engine comes to the same, so that two never move their containers to and fro.
 */
function networksByName({ networks, containers }: Observed): ReadonlyMap<string, ObservedNetwork> {
  const uses = new Map<string, number>();
  for (const container of containers) {
    const weight = isOfNebula(container) ? 1 : networks.length * containers.length;
    if (isUp(container.phase)) for (const network of container.networkIds) uses.set(network, (uses.get(network) ?? 0) + weight);
  }
  const best = (a: ObservedNetwork, b: ObservedNetwork) =>
    (uses.get(b.id) ?? 0) - (uses.get(a.id) ?? 0) ||
    Number(isOfNebula(a)) - Number(isOfNebula(b)) ||
    a.createdAt - b.createdAt ||
    (a.id < b.id ? -1 : 1);
  const byName = new Map<string, ObservedNetwork>();
  for (const network of [...networks].sort(best)) if (!byName.has(network.name)) byName.set(network.name, network);
  return byName;
}

/** Whether a worker made a network or container. */
export function isOfNebula({ labels }: Pick<ObservedNetwork | ObservedContainer, "labels">): boolean {
  return labels[LABEL.orchestrator] === ORCHESTRATOR;
}

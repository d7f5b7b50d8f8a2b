import { portsCollide } from "../../../common/desired/host-ports.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ObservedContainer } from "../container-runtime.ts";
import type { SimulatedContainer } from "./container.ts";
import type { SimulatedNetworks } from "./networks.ts";

/** The containers on a simulated device. No two have one name, and no two that are up hold one host port. */
export class SimulatedContainers {
  /** Host ports that some process outside of containers holds. */
  readonly occupiedPorts = new Set<number>();
  readonly #networks: SimulatedNetworks;
  readonly #byId = new Map<string, SimulatedContainer>();

  constructor(networks: SimulatedNetworks) {
    this.#networks = networks;
  }

  all(): SimulatedContainer[] {
    return [...this.#byId.values()];
  }

  snapshot(): ObservedContainer[] {
    return this.all().map((container) => container.observe());
  }

  get(id: string): SimulatedContainer | undefined {
    return this.#byId.get(id);
  }

  /** By id or name, as Docker takes both; throws `not_found`. */
  find(idOrName: string): SimulatedContainer {
    const container = this.#byId.get(idOrName) ?? this.#named(idOrName);
    if (container === undefined) throw new NebulaError("not_found", `No such container: ${idOrName}`);
    return container;
  }

  #named(name: string): SimulatedContainer | undefined {
    return this.all().find((container) => container.name === name);
  }

  /** Throws `already_exists` if a container has this name. */
  assertNameIsFree(name: string): void {
    const holder = this.#named(name);
    if (holder === undefined) return;
    throw new NebulaError("already_exists", `Conflict. The container name "/${name}" is already in use by container ${holder.id}`);
  }

  add(container: SimulatedContainer): void {
    this.#byId.set(container.id, container);
  }

  delete(id: string): void {
    this.#byId.delete(id);
  }

  /**
   * Starts a container that is not up. Throws if a network is missing, a host port is held, or its behaviour refuses.
   */
  start(container: SimulatedContainer): void {
    if (container.isUp) return;
    const { spec, behaviour } = container;
    container.attach((network) => this.#networks.find(network).id);
    const others = this.all().filter((other) => other !== container && other.isUp);
    for (const port of container.observe().hostPorts) {
      const isTaken = others.some((other) => other.observe().hostPorts.some((held) => portsCollide(held, port)));
      if (!isTaken && !this.occupiedPorts.has(port.hostPort)) continue;
      throw new NebulaError("failed_precondition", `Bind for ${port.address ?? "0.0.0.0"}:${port.hostPort} failed: port is already allocated`);
    }
    if (behaviour.startRefusal !== undefined) throw new NebulaError("failed_precondition", behaviour.startRefusal);
    if (spec.networks.length === 0 && container.networks().length === 0) container.connect("bridge", this.#networks.find("bridge").id);
    container.start();
  }
}

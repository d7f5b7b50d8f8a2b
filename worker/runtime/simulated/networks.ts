import { randomBytes } from "node:crypto";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ObservedNetwork } from "../container-runtime.ts";

const BUILT_IN = ["bridge", "host", "none"];

/** The networks of a simulated device. As with Docker, an id names one network, and a name may come to name several. */
export class SimulatedNetworks {
  readonly #byId = new Map<string, ObservedNetwork>();

  constructor(now: number) {
    for (const name of BUILT_IN) this.#add(name, name === "none" ? "null" : name, {}, now);
  }

  list(): readonly ObservedNetwork[] {
    return [...this.#byId.values()];
  }

  named(name: string): readonly ObservedNetwork[] {
    return this.list().filter((network) => network.name === name);
  }

  /** By id or name; refuses a name that several networks have. */
  find(idOrName: string): ObservedNetwork {
    const [network, other] = [this.#byId.get(idOrName) ?? []].flat().concat(this.named(idOrName));
    if (network === undefined) throw new NebulaError("not_found", `network ${idOrName} not found`);
    if (other === undefined) return network;
    const matches = this.named(idOrName).length;
    throw new NebulaError("invalid_argument", `network ${idOrName} is ambiguous (${matches} matches found on name)`);
  }

  create(name: string, labels: Readonly<Record<string, string>>, now: number): void {
    if (this.named(name).length > 0) throw new NebulaError("already_exists", `network with name ${name} already exists`);
    this.#add(name, "bridge", labels, now);
  }

  /** Makes one though its name is taken, as two calls at the same time do. Answers its id. For tests. */
  duplicate(name: string, labels: Readonly<Record<string, string>>, now: number): string {
    return this.#add(name, "bridge", labels, now);
  }

  remove(id: string): void {
    this.#byId.delete(id);
  }

  #add(name: string, driver: string, labels: Readonly<Record<string, string>>, createdAt: number): string {
    const id = randomBytes(32).toString("hex");
    this.#byId.set(id, { id, name, driver, labels, createdAt });
    return id;
  }
}

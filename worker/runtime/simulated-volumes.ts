import { randomBytes } from "node:crypto";
import { type AnonymousVolume, carriedVolumes } from "./anonymous-volumes.ts";
import type { ContainerSpec } from "./container-runtime.ts";

/** The anonymous volumes of a simulated device: which container has which, and for which paths its image declares one. */
export class SimulatedVolumes {
  readonly #byContainer = new Map<string, Readonly<{ volumes: readonly AnonymousVolume[]; declared: readonly string[] }>>();

  /** Ids of the volumes on the device. */
  get names(): readonly string[] {
    return [...new Set([...this.#byContainer.values()].flatMap(({ volumes }) => volumes.map(({ name }) => name)))];
  }

  of(containerId: string): readonly AnonymousVolume[] {
    return this.#byContainer.get(containerId)?.volumes ?? [];
  }

  /** @param successorOf the container whose volumes the new one gets */
  create(containerId: string, spec: ContainerSpec, declared: readonly string[], successorOf: string | undefined): void {
    const old = this.#byContainer.get(successorOf ?? "") ?? { volumes: [], declared: [] };
    const carried = carriedVolumes(old, spec, declared);
    const mounted = new Set([...spec.volumes.map((bind) => bind.split(":")[1]), ...Object.keys(spec.tmpfs), ...carried.map(({ path }) => path)]);
    const fresh = declared.filter((path) => !mounted.has(path)).map((path) => ({ name: randomBytes(32).toString("hex"), path }));
    this.#byContainer.set(containerId, { volumes: [...carried, ...fresh], declared });
  }

  /** A volume is removed with the last container that has it. */
  remove(containerId: string): void {
    this.#byContainer.delete(containerId);
  }
}

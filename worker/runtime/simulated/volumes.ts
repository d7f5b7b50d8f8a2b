import { randomBytes } from "node:crypto";
import type { ContainerSpec } from "../../../common/desired/container-spec.ts";
import { type AnonymousVolume, carriedVolumes } from "../anonymous-volumes.ts";

type Held = Readonly<{ carried: readonly AnonymousVolume[]; own: readonly AnonymousVolume[]; declared: readonly string[] }>;

/**
 * The anonymous volumes of a simulated device: which container has which, and for which paths its image declares one.
 */
export class SimulatedVolumes {
  readonly #byContainer = new Map<string, Held>();
  readonly #present = new Set<string>();

  /** Ids of the volumes on the device. */
  get names(): readonly string[] {
    return [...this.#present];
  }

  of(containerId: string): readonly AnonymousVolume[] {
    const { carried = [], own = [] } = this.#byContainer.get(containerId) ?? {};
    return [...carried, ...own];
  }

  carriedBy(containerId: string): readonly string[] {
    return this.#byContainer.get(containerId)?.carried.map(({ name }) => name) ?? [];
  }

  /** @param successorOf the container whose volumes the new one gets */
  create(containerId: string, spec: ContainerSpec, declared: readonly string[], successorOf: string | undefined): void {
    const old = this.#byContainer.get(successorOf ?? "");
    const carried = carriedVolumes({ volumes: this.of(successorOf ?? ""), declared: old?.declared ?? [] }, spec, declared);
    const mounted = new Set([...spec.volumes.map((bind) => bind.split(":")[1]), ...Object.keys(spec.tmpfs), ...carried.map(({ path }) => path)]);
    const own = declared.filter((path) => !mounted.has(path)).map((path) => ({ name: randomBytes(32).toString("hex"), path }));
    for (const { name } of own) this.#present.add(name);
    this.#byContainer.set(containerId, { carried, own, declared });
  }

  /**
   * Its own go with a container unless they are to be kept, but for those that another one has; those that it has from
   * another one stay, as named ones do.
   */
  containerGone(containerId: string, keepsVolumes: boolean): void {
    const { own = [] } = this.#byContainer.get(containerId) ?? {};
    this.#byContainer.delete(containerId);
    if (keepsVolumes) return;
    for (const { name } of own) this.remove(name);
  }

  /** One that a container has stays. */
  remove(name: string): void {
    const isUsed = [...this.#byContainer.keys()].some((id) => this.of(id).some((volume) => volume.name === name));
    if (!isUsed) this.#present.delete(name);
  }
}

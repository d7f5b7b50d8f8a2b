import { isNebulaError } from "../common/errors/nebula-error.ts";
import type { Memory } from "./memory.ts";
import type { ComparedContainer, Jobs, Observed, WorkerIdentity } from "./model.ts";
import { classify } from "./owned.ts";
import type { ContainerRuntime, EngineInfo, HealthcheckSpec, ImageDetails } from "./runtime/container-runtime.ts";
import { isKnownSpecLabel } from "./spec-hash.ts";

export type ObserverOptions = Readonly<{ runtime: ContainerRuntime; identity: WorkerIdentity }>;

/** What to look with: the engine as it presented itself, the jobs as they were before the look, what was adopted. */
export type LookContext = Readonly<{ engine: EngineInfo; jobs: Jobs; adopted: Memory["adopted"]; exits: Observed["exits"] }>;

/**
 * Looks at the engine. Inspects only what no list tells, and that once:
 * 1. what inspect says of a container's spec never changes while it lives, so it is kept until the container is gone;
 * 2. an image id names its content, so what was read of it holds for ever.
 */
export class Observer {
  readonly #runtime: ContainerRuntime;
  readonly #identity: WorkerIdentity;
  readonly #compared = new Map<string, ComparedContainer>(); // 1
  readonly #images = new Map<string, ImageDetails | undefined>(); // 2

  constructor({ runtime, identity }: ObserverOptions) {
    this.#runtime = runtime;
    this.#identity = identity;
  }

  /** Rejects with `unavailable` when the engine is away. `exits` is passed on. */
  async look({ engine, jobs, adopted, exits }: LookContext, signal: AbortSignal): Promise<Observed> {
    const [containers, images, networks] = await Promise.all([
      this.#runtime.listContainers(signal),
      this.#runtime.listImages(signal),
      this.#runtime.listNetworks(signal),
    ]);
    const { owned } = classify(containers, this.#identity, engine.ownContainerId, adopted);
    for (const { container, specLabel } of owned) {
      if (!isKnownSpecLabel(specLabel)) await this.#compare(container.id, container.imageId, signal);
    }
    const checked = owned.filter(({ container }) => container.health !== "none");
    for (const { container } of checked) await this.#image(container.imageId, signal);
    this.#forget(new Set(containers.map(({ id }) => id)), new Set(containers.map(({ imageId }) => imageId)));
    return {
      engine,
      containers,
      images,
      networks,
      compared: new Map(this.#compared),
      imageHealthchecks: this.#healthchecks(),
      exits,
      jobs,
    };
  }

  async #compare(containerId: string, imageId: string, signal: AbortSignal): Promise<void> {
    if (this.#compared.has(containerId)) return;
    try {
      const details = await this.#runtime.inspectContainer(containerId, signal);
      this.#compared.set(containerId, { details, image: await this.#image(imageId, signal) });
    } catch (error) {
      if (!isNebulaError(error, "not_found")) throw error; // gone since the list: the next look does not show it
    }
  }

  async #image(imageId: string, signal: AbortSignal): Promise<ImageDetails | undefined> {
    if (!this.#images.has(imageId)) this.#images.set(imageId, await this.#runtime.inspectImage(imageId, signal));
    return this.#images.get(imageId);
  }

  #healthchecks(): ReadonlyMap<string, HealthcheckSpec> {
    const known = new Map<string, HealthcheckSpec>();
    for (const [id, details] of this.#images) if (details?.healthcheck !== undefined) known.set(id, details.healthcheck);
    return known;
  }

  #forget(containerIds: ReadonlySet<string>, imageIds: ReadonlySet<string>): void {
    for (const id of this.#compared.keys()) if (!containerIds.has(id)) this.#compared.delete(id);
    for (const id of this.#images.keys()) if (!imageIds.has(id)) this.#images.delete(id);
  }
}

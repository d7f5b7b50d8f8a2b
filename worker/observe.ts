import { isNebulaError, messageOf } from "../common/errors/nebula-error.ts";
import type { Memory } from "./memory.ts";
import type { ComparedContainer, Jobs, Observed, WorkerIdentity } from "./model.ts";
import { classify, type Owned } from "./owned.ts";
import type { ContainerRuntime, EngineInfo, HealthcheckSpec, ImageDetails, ObservedContainer } from "./runtime/container-runtime.ts";
import { INSPECT_LIMIT_MS } from "./runtime/docker-call.ts";
import { isKnownSpecLabel } from "./spec-hash.ts";

export type ObserverOptions = Readonly<{ runtime: ContainerRuntime }>;

/**
 * What to look with: who looks, the engine as it presented itself, the jobs as they were before the look, what was adopted, and ids of containers that
 * could not be inspected (a job tries again).
 */
export type LookContext = Readonly<{
  identity: WorkerIdentity;
  engine: EngineInfo;
  jobs: Jobs;
  adopted: Memory["adopted"];
  unknown: ReadonlySet<string>;
  exits: Observed["exits"];
}>;

/**
 * Looks at the engine. Inspects only what no list tells, and that once:
 * 1. what inspect says of a container's spec never changes while it lives, so it is kept until the container is gone;
 * 2. an image id names its content, so what was read of it holds as long as a container has it;
 * 3. the engine holds the lock of a container that a job is about: that is not inspected, nor one that could not be inspected before.
 */
export class Observer {
  readonly #runtime: ContainerRuntime;
  readonly #compared = new Map<string, ComparedContainer>(); // 1
  readonly #images = new Map<string, ImageDetails | undefined>(); // 2

  constructor({ runtime }: ObserverOptions) {
    this.#runtime = runtime;
  }

  /** Rejects with `unavailable` when the engine is away. `exits` is passed on. */
  async look({ identity, engine, jobs, adopted, unknown, exits }: LookContext, signal: AbortSignal): Promise<Observed> {
    const leaveOut = new Set([...jobs.stops, ...jobs.touched, ...unknown]); // 3
    const [listed, images, networks] = await Promise.all([
      this.#runtime.listContainers(signal, leaveOut),
      this.#runtime.listImages(signal),
      this.#runtime.listNetworks(signal),
    ]);
    const { owned, foreign, foreignCluster, self } = classify(listed, identity, engine.ownContainerId, adopted);
    const seen: Owned[] = [];
    for (const mine of owned) {
      const { container, specLabel } = mine;
      const failure = container.listedOnly || isKnownSpecLabel(specLabel) ? undefined : await this.#compare(container, signal);
      seen.push(failure === undefined ? mine : { ...mine, container: { ...container, listedOnly: { failure } } });
      if (container.health !== "none") await this.#healthcheckOf(container.imageId, signal);
    }
    this.#forget(new Set(listed.map(({ id }) => id)), new Set(listed.map(({ imageId }) => imageId)));
    return {
      engine,
      containers: [...seen.map(({ container }) => container), ...foreign],
      classified: { owned: seen, foreign, foreignCluster, self },
      images,
      networks,
      compared: new Map(this.#compared),
      imageHealthchecks: this.#healthchecks(),
      exits,
      jobs,
    };
  }

  /** Why a container cannot be compared; undefined: it was, or it is gone since the list. */
  async #compare({ id, imageId }: ObservedContainer, signal: AbortSignal): Promise<string | undefined> {
    if (this.#compared.has(id)) return undefined;
    try {
      const details = await this.#runtime.inspectContainer(id, signal, INSPECT_LIMIT_MS);
      this.#compared.set(id, { details, image: await this.#image(imageId, signal) });
      return undefined;
    } catch (error) {
      if (signal.aborted || isNebulaError(error, "unavailable")) throw error;
      return isNebulaError(error, "not_found") ? undefined : messageOf(error);
    }
  }

  /** Looks for the health check of an image. One that cannot be inspected counts as without: the engine's defaults apply. */
  async #healthcheckOf(imageId: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#image(imageId, signal);
    } catch (error) {
      if (signal.aborted || isNebulaError(error, "unavailable")) throw error;
      this.#images.set(imageId, undefined);
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

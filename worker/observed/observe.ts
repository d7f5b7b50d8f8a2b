import type { HealthcheckSpec } from "../../common/desired/container-spec.ts";
import { isKnownSpecLabel } from "../../common/desired/spec-hash.ts";
import { isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import { mapLimited } from "../../common/map-limited.ts";
import type { ContainerRuntime, EngineInfo, ImageDetails, ObservedContainer, ObservedImage } from "../runtime/container-runtime.ts";
import { INSPECT_LIMIT_MS } from "../runtime/container-runtime.ts";
import { LABEL, ORCHESTRATOR, withoutInherited } from "./labels.ts";
import type { ComparedContainer, Jobs, Observed, WorkerIdentity } from "./observed.ts";
import { classify, type Owned } from "./owned.ts";

/** Containers compared side by side. */
const COMPARED_AT_ONCE = 8;

export type ObserverOptions = Readonly<{ runtime: ContainerRuntime }>;

/**
 * The context of a look: who looks, the engine as it presented itself, the jobs as they were before the look, what was
 * adopted, and ids of containers that could not be inspected (a job tries again).
 */
export type LookContext = Readonly<{
  identity: WorkerIdentity;
  engine: EngineInfo;
  jobs: Jobs;
  adopted: ReadonlyMap<string, string>;
  unknown: ReadonlySet<string>;
  exits: Observed["exits"];
}>;

/**
 * Looks at the engine. Inspects only what no list tells, and that once:
 * 1. what inspect says of a container's spec never changes while it lives, so it is kept until the plan has compared
 *    it;
 * 2. an image id names its content, so what was read of it holds as long as a container has it;
 * 3. the engine holds the lock of a container that a job is about: that is not inspected, nor one that could not be
 *    inspected before.
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
    const [shown, images, networks] = await Promise.all([
      this.#runtime.listContainers(signal, leaveOut),
      this.#runtime.listImages(signal),
      this.#runtime.listNetworks(signal),
    ]);
    const listed = await this.#withOwnLabels(shown, images, signal);
    const { owned, foreign, foreignCluster, self } = classify(listed, identity, engine.ownContainerId, adopted);
    const seen = await mapLimited(owned, COMPARED_AT_ONCE, async (mine): Promise<Owned> => {
      const { container } = mine;
      const failure = container.listedOnly || !isToCompare(mine, adopted) ? undefined : await this.#compare(container, signal);
      if (container.health !== "none" && container.listedOnly === undefined) await this.#imageOrFailure(container.imageId, signal);
      return failure === undefined ? mine : { ...mine, container: { ...container, listedOnly: { failure } } };
    });
    this.#forget(
      new Set(owned.filter((mine) => isToCompare(mine, adopted)).map(({ container }) => container.id)),
      new Set(listed.map(({ imageId }) => imageId)),
    );
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

  /**
   * Leaves out the labels that containers have from their images alone. An image that was untagged under a container is not always listed. A container
   * whose image cannot be inspected may be a copy of one of ours: it counts as one that cannot be inspected itself.
   */
  async #withOwnLabels(
    containers: readonly ObservedContainer[],
    images: readonly ObservedImage[],
    signal: AbortSignal,
  ): Promise<readonly ObservedContainer[]> {
    const known = new Map(images.map(({ id, labels }) => [id, labels]));
    return await mapLimited(containers, COMPARED_AT_ONCE, async (container) => {
      const { labels, imageId } = container;
      if (labels[LABEL.orchestrator] !== ORCHESTRATOR) return container;
      const listed = known.get(imageId);
      if (listed === undefined && container.listedOnly !== undefined && !this.#images.has(imageId)) return container; // nothing is done to it
      const failure = listed === undefined ? await this.#imageOrFailure(imageId, signal) : undefined;
      if (failure !== undefined) return { ...container, listedOnly: { failure } };
      const own = withoutInherited(labels, listed ?? this.#images.get(imageId)?.labels ?? {});
      return own === labels ? container : { ...container, labels: own };
    });
  }

  /** Reads an image, once. Answers why it cannot be inspected; undefined: it was, or it is not on the device any more. */
  async #imageOrFailure(imageId: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      await this.#image(imageId, signal);
      return undefined;
    } catch (error) {
      if (signal.aborted || isNebulaError(error, "unavailable")) throw error;
      return messageOf(error);
    }
  }

  async #image(imageId: string, signal: AbortSignal): Promise<ImageDetails | undefined> {
    if (!this.#images.has(imageId)) this.#images.set(imageId, await this.#runtime.inspectImage(imageId, signal, INSPECT_LIMIT_MS));
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

/**
 * Whether only inspect tells what a container is: it has no label that this worker understands, or is not known to be
 * what its label names.
 */
function isToCompare({ kind, container, specLabel }: Owned, adopted: ReadonlyMap<string, string>): boolean {
  return kind === "app" && !(isKnownSpecLabel(specLabel) && adopted.has(container.id));
}

import { randomBytes } from "node:crypto";
import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { normaliseImageReference } from "../../../common/validation/container/image-reference.ts";
import { unknownVolumes } from "../anonymous-volumes.ts";
import type {
  ContainerDetails,
  ContainerRuntime,
  ContainerStats,
  CreateRequest,
  EngineInfo,
  ImageDetails,
  ObservedContainer,
  ObservedImage,
  ObservedNetwork,
  PullOptions,
  RemoveOptions,
  RuntimeEvent,
} from "../container-runtime.ts";
import { CALL_LIMIT_MS, INSPECT_LIMIT_MS } from "../container-runtime.ts";
import { type ImageBehaviour, PLAIN_ENGINE, PLAIN_IMAGE } from "./behaviour.ts";
import { SimulatedContainer } from "./container.ts";
import { SimulatedContainers } from "./containers.ts";
import { EventFan } from "./events.ts";
import { SimulatedImages } from "./images.ts";
import { SimulatedNetworks } from "./networks.ts";
import { simulatePull } from "./pull.ts";
import { SimulatedTroubles, type Trouble } from "./troubles.ts";
import { SimulatedVolumes } from "./volumes.ts";

/** A call to the runtime, as faults are scripted by it; `target` is what it is about: a container's id or name, an image, a network. */
export type RuntimeCall = Readonly<{ method: keyof Omit<ContainerRuntime, typeof Symbol.asyncDispose>; target: string }>;

export type SimulatedOptions = Readonly<{
  clock: Clock;
  info?: Partial<EngineInfo>;
  /** References of images that are on the device at first. */
  images?: readonly string[];
  /** How the image of a normalised reference behaves. */
  behaviour?: (reference: string) => Partial<ImageBehaviour>;
}>;

/** The settings of a simulated image beside its env and health check. */
const PLAIN_CONFIG = { command: ["serve"], entrypoint: [], user: "", workingDir: "" };

/**
 * A container engine in memory, as faithful as the planner needs: names and ports conflict, networks and images must exist, restart policies and
 * health checks act, events are sent. None of its numbers is real. One object is one engine; it outlives the workers that use it.
 */
export class SimulatedRuntime implements ContainerRuntime {
  /** Called before every call takes effect; what it throws is what the call fails with, and it may wait. For tests. */
  before: ((call: RuntimeCall) => void | Promise<void>) | undefined;
  /**
   * The trouble with a call; undefined: none. The inspects that a list makes are asked for as `inspectContainer`.
   * For tests.
   */
  trouble: ((call: RuntimeCall) => Trouble | undefined) | undefined;
  /** Events are lost. For tests. */
  isMute = false;
  /** A proxy before the engine refuses its events. For tests. */
  refusesEvents = false;
  readonly images = new SimulatedImages();
  readonly #clock: Clock;
  #info: Omit<EngineInfo, "clock">;
  readonly #behaviour: (reference: string) => ImageBehaviour;
  readonly #containers: SimulatedContainers;
  readonly networks: SimulatedNetworks;
  readonly volumes = new SimulatedVolumes();
  readonly #events = new EventFan();
  readonly #troubles: SimulatedTroubles;
  #up = true;

  constructor({ clock, info = {}, images = [], behaviour = () => ({}) }: SimulatedOptions) {
    this.#clock = clock;
    this.#troubles = new SimulatedTroubles(clock);
    this.#behaviour = (reference) => ({ ...PLAIN_IMAGE, ...behaviour(reference) });
    this.#info = { ...PLAIN_ENGINE, ...info };
    this.networks = new SimulatedNetworks(clock.now());
    this.#containers = new SimulatedContainers(this.networks);
    for (const reference of images) this.images.add(normaliseImageReference(reference), clock.now());
  }

  async info(signal: AbortSignal): Promise<EngineInfo> {
    await this.#enter("info", "", signal);
    return { clock: this.#clock.now(), ...this.#info };
  }

  async listContainers(signal: AbortSignal, leaveOut: ReadonlySet<string> = new Set()): Promise<readonly ObservedContainer[]> {
    await this.#enter("listContainers", "", signal);
    if (leaveOut.size === 0 && this.trouble === undefined && !this.#troubles.holdsAny) return this.snapshot();
    const seen = this.#containers.all().map(async (container) => {
      const { id, labels } = container;
      if (labels.orchestrator !== "nebula") return container.observe();
      if (leaveOut.has(id)) return container.glimpse(undefined);
      const failure = await this.#troubles.inspectFailure(id, this.trouble?.({ method: "inspectContainer", target: id }), signal);
      return failure === undefined ? container.observe() : container.glimpse(failure);
    });
    return (await Promise.all(seen)).filter(({ id }) => this.#containers.get(id) !== undefined);
  }

  /** Host ports that some process outside of containers holds. */
  get occupiedPorts(): Set<number> {
    return this.#containers.occupiedPorts;
  }

  /** The containers now, without a call: for tests and summaries. */
  snapshot(): readonly ObservedContainer[] {
    return this.#containers.snapshot();
  }

  async inspectContainer(id: string, signal: AbortSignal, limitMs?: number): Promise<ContainerDetails> {
    await this.#enter("inspectContainer", id, signal);
    const container = await this.#act("inspectContainer", id, signal, () => this.#containers.find(id), limitMs);
    return { ...container.details(this.#behaviour(container.spec.image).env, PLAIN_CONFIG.command), anonymousVolumes: this.volumes.of(container.id) };
  }

  async listImages(signal: AbortSignal): Promise<readonly ObservedImage[]> {
    await this.#enter("listImages", "", signal);
    return this.images.list();
  }

  async inspectImage(reference: string, signal: AbortSignal, limitMs?: number): Promise<ImageDetails | undefined> {
    await this.#enter("inspectImage", reference, signal);
    const image = await this.#act("inspectImage", reference, signal, () => this.images.find(normaliseImageReference(reference)), limitMs);
    if (image === undefined) return undefined;
    const [name = reference] = image.references;
    const { env, healthcheck, volumes } = this.#behaviour(name);
    const { id, references, createdAt, labels } = image;
    return {
      id,
      references: [...references],
      sizeBytes: 1_000_000,
      createdAt,
      labels,
      volumes,
      env,
      hasHealthcheck: healthcheck !== undefined,
      healthcheck,
      ...PLAIN_CONFIG,
    };
  }

  async listNetworks(signal: AbortSignal): Promise<readonly ObservedNetwork[]> {
    await this.#enter("listNetworks", "", signal);
    return this.networks.list();
  }

  async pull(reference: string, options: PullOptions): Promise<void> {
    await this.#enter("pull", reference, options.signal);
    const name = normaliseImageReference(reference);
    await simulatePull(this.#behaviour(name).pull, this.#clock, options);
    this.images.add(name, this.#clock.now());
    this.#emit("image", "pull", name);
  }

  /** As Docker does, it dates a container at the beginning of the call, and shows it only at its end. */
  async create(request: CreateRequest, signal: AbortSignal): Promise<string> {
    const createdAt = this.#clock.now();
    await this.#enter("create", request.name, signal);
    if (request.successorOf !== undefined) await this.#inspectReplaced(request.successorOf, signal);
    return await this.#act("create", request.name, signal, () => this.#create(request, createdAt));
  }

  async #inspectReplaced(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#act("inspectContainer", id, signal, () => {}, INSPECT_LIMIT_MS);
    } catch (error) {
      throw unknownVolumes(id, error);
    }
  }

  #create({ name, spec, labels, successorOf }: CreateRequest, createdAt: number): string {
    this.#containers.assertNameIsFree(name);
    const image = this.images.find(normaliseImageReference(spec.image));
    if (image === undefined) throw new NebulaError("not_found", `No such image: ${spec.image}`);
    const behaviour = this.#behaviour(normaliseImageReference(spec.image));
    const id = randomBytes(32).toString("hex");
    this.volumes.create(id, spec, behaviour.volumes, successorOf);
    const container = new SimulatedContainer({
      id,
      name,
      spec,
      labels: { ...image.labels, ...spec.labels, ...labels },
      createdAt,
      imageId: image.id,
      carriedVolumes: this.volumes.carriedBy(id),
      behaviour,
      clock: this.#clock,
      tell: (action) => this.#tell(container, action),
    });
    this.#containers.add(container);
    this.#tell(container, "create");
    return container.id;
  }

  async connectNetwork(containerId: string, network: string, signal: AbortSignal): Promise<void> {
    await this.#enter("connectNetwork", containerId, signal);
    await this.#act("connectNetwork", containerId, signal, () => {
      const container = this.#containers.find(containerId);
      const { name, id } = this.networks.find(network);
      container.connect(name, id);
      this.#emit("network", "connect", name);
    });
  }

  async disconnectNetwork(containerId: string, networkId: string, signal: AbortSignal): Promise<void> {
    await this.#enter("disconnectNetwork", containerId, signal);
    await this.#act("disconnectNetwork", containerId, signal, () => {
      const container = this.#containers.find(containerId);
      const name = container.networkOf(networkId);
      if (name === undefined) return;
      container.disconnect(name);
      this.#emit("network", "disconnect", name);
    });
  }

  async start(containerId: string, signal: AbortSignal): Promise<void> {
    await this.#enter("start", containerId, signal);
    await this.#act("start", containerId, signal, () => this.#containers.start(this.#containers.find(containerId)));
  }

  async stop(containerId: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.#enter("stop", containerId, signal);
    await this.#act("stop", containerId, signal, () => {});
    await this.#stop(this.#containers.find(containerId), graceSeconds, signal);
  }

  async #stop(container: SimulatedContainer, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const { stopMs } = container.behaviour;
    if (container.isUp && stopMs > 0) await this.#clock.sleep(Math.min(stopMs, graceSeconds * 1000), signal);
    container.stop();
  }

  async restart(containerId: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.#enter("restart", containerId, signal);
    await this.#act("restart", containerId, signal, () => {});
    const container = this.#containers.find(containerId);
    await this.#stop(container, graceSeconds, signal);
    this.#containers.start(container);
    this.#tell(container, "restart");
  }

  async unpause(containerId: string, signal: AbortSignal): Promise<void> {
    await this.#enter("unpause", containerId, signal);
    await this.#act("unpause", containerId, signal, () => this.#containers.find(containerId).unpause());
  }

  async rename(containerId: string, name: string, signal: AbortSignal): Promise<void> {
    await this.#enter("rename", containerId, signal);
    await this.#act("rename", containerId, signal, () => {
      const container = this.#containers.find(containerId);
      this.#containers.assertNameIsFree(name);
      container.name = name;
      this.#tell(container, "rename");
    });
  }

  async remove(containerId: string, { force, keepsVolumes = false }: RemoveOptions, signal: AbortSignal): Promise<void> {
    await this.#enter("remove", containerId, signal);
    await this.#act("remove", containerId, signal, () => {
      const container = this.#containers.get(containerId);
      if (container === undefined || container.observe().phase === "removing") return;
      if (container.isUp && !force) throw new NebulaError("failed_precondition", `You cannot remove a running container ${containerId}`);
      container.stop();
      this.#containers.delete(containerId);
      this.volumes.containerGone(containerId, keepsVolumes);
      this.#tell(container, "destroy");
    });
  }

  async removeVolume(name: string, signal: AbortSignal): Promise<void> {
    await this.#enter("removeVolume", name, signal);
    await this.#act("removeVolume", name, signal, () => this.volumes.remove(name));
  }

  async createNetwork(name: string, labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    await this.#enter("createNetwork", name, signal);
    await this.#act("createNetwork", name, signal, () => {});
    this.networks.create(name, labels, this.#clock.now());
    this.#emit("network", "create", name);
  }

  async removeNetwork(id: string, signal: AbortSignal): Promise<void> {
    await this.#enter("removeNetwork", id, signal);
    await this.#act("removeNetwork", id, signal, () => {});
    const user = this.#containers.all().find((container) => container.isUp && container.observe().networkIds.includes(id));
    if (user !== undefined) throw new NebulaError("failed_precondition", `error while removing network: network ${id} has active endpoints`);
    this.networks.remove(id);
    this.#emit("network", "destroy", id);
  }

  /** Somebody removes a network by hand; containers on it lose it. For tests. */
  loseNetwork(name: string): void {
    for (const { id } of this.networks.named(name)) this.networks.remove(id);
    for (const container of this.#containers.all()) container.disconnect(name);
    this.#emit("network", "destroy", name);
  }

  async removeImage(id: string, signal: AbortSignal): Promise<void> {
    await this.#enter("removeImage", id, signal);
    await this.#act("removeImage", id, signal, () => {});
    const image = this.images.find(id);
    const user = this.#containers.all().find((container) => container.imageId === image?.id);
    if (user !== undefined) throw new NebulaError("failed_precondition", `unable to delete ${id}: image is being used by container ${user.id}`);
    this.images.remove(id);
    this.#emit("image", "delete", id);
  }

  async stats(containerId: string, signal: AbortSignal): Promise<ContainerStats> {
    await this.#enter("stats", containerId, signal);
    return this.#containers.find(containerId).isUp ? { memoryBytes: 1_000_000, cpuPercent: 0 } : { memoryBytes: 0, cpuPercent: 0 };
  }

  events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    void this.before?.({ method: "events", target: "" });
    if (!this.#up) throw unreachable();
    if (this.refusesEvents) throw new NebulaError("failed_precondition", "the proxy allows no events");
    return this.#events.subscribe(signal);
  }

  /** The engine goes down: calls are refused and event streams end; containers end with it. */
  shutDown(): void {
    this.#up = false;
    for (const container of this.#containers.all()) container.engineDown();
    this.#events.endAll(unreachable());
  }

  /** The engine comes up again and starts what its restart policies ask for. */
  boot(): void {
    this.#up = true;
    for (const container of this.#containers.all()) container.engineUp();
  }

  /** Sets what the engine says of itself from now on. */
  presentAs(info: Partial<EngineInfo>): void {
    this.#info = { ...this.#info, ...info };
  }

  /** A health check's result, as a script decides. */
  setHealth(id: string, health: "starting" | "healthy" | "unhealthy"): void {
    this.#containers.find(id).setHealth(health);
  }

  /** Somebody pauses it. */
  pause(id: string): void {
    this.#containers.find(id).pause();
  }

  /** Its removal begins, and the engine does not get done with it. */
  stickInRemoval(id: string): void {
    this.#containers.find(id).stickInRemoval();
  }

  /** The container's process ends by itself. */
  exit(id: string, code: number): void {
    this.#containers.find(id).exit(code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#events.endAll(undefined);
    this.#troubles.end();
    for (const container of this.#containers.all()) container.endTimers();
  }

  async #enter(method: RuntimeCall["method"], target: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw cancelled(method);
    if (!this.#up) throw unreachable();
    await this.before?.({ method, target });
    if (signal.aborted) throw cancelled(method);
  }

  /** Does a call, later or never where there is trouble. */
  #act<T>(method: RuntimeCall["method"], target: string, signal: AbortSignal, act: () => T, limitMs = CALL_LIMIT_MS): Promise<T> {
    const trouble = this.trouble?.({ method, target });
    return this.#troubles.call({ what: method, id: target, trouble, limitMs, signal }, act);
  }

  #tell(container: SimulatedContainer, action: string): void {
    if (this.isMute) return;
    const ended = action === "die" ? { exitCode: container.observe().exitCode } : {};
    this.#events.emit({ type: "container", action, id: container.id, labels: container.labels, ...ended, at: this.#clock.now() });
  }

  #emit(type: RuntimeEvent["type"], action: string, id: string): void {
    if (this.isMute) return;
    this.#events.emit({ type, action, id, labels: {}, at: this.#clock.now() });
  }
}

function unreachable(): NebulaError {
  return new NebulaError("unavailable", "the simulated engine is down");
}

function cancelled(method: RuntimeCall["method"]): NebulaError {
  return new NebulaError("cancelled", `${method} is not wanted any more`);
}

import type { Clock } from "../../../common/clock/clock.ts";
import { isNebulaError, messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Log } from "../../../common/log/log.ts";
import { Places } from "../../../common/places.ts";
import { type AnonymousVolume, carriedVolumes, unknownVolumes } from "../anonymous-volumes.ts";
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
import { numberOf, recordOf, textOf, timeOf } from "../json.ts";
import { PullProgress } from "../pull-progress.ts";
import { DockerConnection, type DockerRequest } from "./connection.ts";
import { createBody } from "./create.ts";
import { errorFromDocker, pullError, says, statusOf, withoutEnvValues } from "./errors.ts";
import { EVENT_FILTERS, parseEvent } from "./events.ts";
import { anonymousVolumesOf, declaredVolumesOf, inspectedContainer, inspectedDetails, inspectedImage } from "./inspect.ts";
import { listedContainers, listedImages, listedNetworks } from "./list.ts";
import { InspectCache } from "./observe.ts";
import { ownIdCandidates, ownIdHints } from "./own-id.ts";
import { authConfig, jsonLines, pullLineError, pullQuery } from "./pull.ts";
import { familiarReference } from "./reference.ts";
import { type CpuSample, cpuSample, earlierCpuSample, statsOf } from "./stats.ts";

/** Inspects side by side; one that takes longer gives its place to the next. */
const INSPECTS = { count: 8, patienceMs: 1000 };
/** For how long the daemon's default log driver is taken as known, milliseconds: it changes only with a restart of the daemon. */
const LOG_DRIVER_USABLE_MS = 60_000;

const INFO = { what: "read the engine's info", method: "GET", path: "/info", isOfEngine: true } as const;
const PING = { what: "ping the engine", method: "GET", path: "/_ping", isOfEngine: true } as const;

export type DockerRuntimeOptions = Readonly<{
  /** docker:///var/run/docker.sock or docker://host:port */
  url: string;
  clock: Clock;
  log: Log;
  /** How long a call may take that neither streams nor waits for a container's end, milliseconds; 60 s unless given. */
  callLimitMs?: number | undefined;
}>;

/**
 * The Docker Engine at `url`. The engine need not be reachable yet: calls then fail with `unavailable`. No API version is asked for: any that the
 * engine offers from 1.41 up is understood. Rejects with `invalid_argument` for a URL of another form.
 */
export async function openDockerRuntime(options: DockerRuntimeOptions): Promise<ContainerRuntime> {
  return new DockerRuntime(options);
}

class DockerRuntime implements ContainerRuntime {
  readonly #engine: DockerConnection;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #inspects = new InspectCache();
  readonly #places: Places;
  readonly #cpuSamples = new Map<string, CpuSample>();
  #logDriver: Readonly<{ name: string; at: number }> | undefined;
  /** undefined: not known yet. */
  #ownId: Readonly<{ id: string | undefined }> | undefined;

  constructor({ url, clock, log, callLimitMs }: DockerRuntimeOptions) {
    this.#engine = new DockerConnection(url, callLimitMs);
    this.#clock = clock;
    this.#log = log;
    this.#places = new Places({ clock, ...INSPECTS });
  }

  async info(signal: AbortSignal): Promise<EngineInfo> {
    const [infoAnswer, versionAnswer, ownContainerId] = await Promise.all([
      this.#engine.call(INFO, signal),
      this.#engine.call({ what: "read the engine's version", method: "GET", path: "/version", isOfEngine: true }, signal),
      this.#ownContainerId(signal),
    ]);
    const info = recordOf(infoAnswer);
    this.#logDriver = { name: textOf(info.LoggingDriver), at: this.#clock.monotonic() };
    return {
      clock: timeOf(info.SystemTime) ?? this.#clock.now(),
      hostname: textOf(info.Name),
      cores: numberOf(info.NCPU),
      memoryBytes: numberOf(info.MemTotal),
      engineVersion: textOf(info.ServerVersion),
      apiVersion: textOf(recordOf(versionAnswer).ApiVersion),
      os: textOf(info.OperatingSystem),
      arch: textOf(info.Architecture),
      ownContainerId,
      rootDir: textOf(info.DockerRootDir) || undefined,
    };
  }

  async listContainers(signal: AbortSignal, leaveOut: ReadonlySet<string> = new Set()): Promise<readonly ObservedContainer[]> {
    const listed = await this.#list(signal);
    const ids = new Set(listed.map(({ id }) => id));
    this.#inspects.retain(ids);
    for (const id of this.#cpuSamples.keys()) if (!ids.has(id)) this.#cpuSamples.delete(id);
    const now = this.#clock.monotonic();
    const containers = await Promise.all(
      listed.map(async (container) => {
        if (container.labels.orchestrator !== "nebula") return container;
        if (leaveOut.has(container.id)) return this.#inspects.listedOnly(container, undefined);
        return await this.#inspectInList(container, now, signal);
      }),
    );
    return containers.filter((container) => container !== undefined);
  }

  /**
   * A container that cannot be inspected keeps no other from being seen. Rejects only when the engine is away, or the
   * signal aborted.
   */
  async #inspectInList(listed: ObservedContainer, now: number, signal: AbortSignal): Promise<ObservedContainer | undefined> {
    try {
      return await this.#inspects.get(listed, now, () => this.#places.run(() => this.#inspectListed(listed.id, signal)));
    } catch (error) {
      if (signal.aborted || isNebulaError(error, "unavailable")) throw error;
      return this.#inspects.listedOnly(listed, messageOf(error));
    }
  }

  async inspectContainer(id: string, signal: AbortSignal, limitMs?: number): Promise<ContainerDetails> {
    const logDriver = await this.#daemonLogDriver(signal);
    return inspectedDetails(await this.#inspect(id, signal, limitMs), logDriver);
  }

  async listImages(signal: AbortSignal): Promise<readonly ObservedImage[]> {
    return listedImages(await this.#engine.call({ what: "list images", method: "GET", path: "/images/json" }, signal));
  }

  async inspectImage(reference: string, signal: AbortSignal, limitMs?: number): Promise<ImageDetails | undefined> {
    const call = { what: "inspect image", method: "GET", path: imagePath(reference, "/json"), limitMs, fineStatus: 404 } as const;
    const answer = await this.#engine.call(call, signal);
    return answer === undefined ? undefined : inspectedImage(answer);
  }

  async listNetworks(signal: AbortSignal): Promise<readonly ObservedNetwork[]> {
    return listedNetworks(await this.#engine.call({ what: "list networks", method: "GET", path: "/networks" }, signal));
  }

  async pull(reference: string, { login, onLine, signal }: PullOptions): Promise<void> {
    const query = pullQuery(reference);
    const progress = new PullProgress();
    try {
      // no time limit: the caller watches the progress
      const request = { what: "pull", method: "POST", path: "/images/create", query, authConfig: authConfig(login) } as const;
      for await (const value of jsonLines(await this.#engine.stream(request, signal))) {
        const words = pullLineError(value);
        if (words !== undefined) throw pullError(words);
        onLine(progress.see(value));
      }
    } catch (error) {
      if (signal.aborted) throw new NebulaError("cancelled", `the pull of ${reference} was cancelled`, { cause: signal.reason });
      const failure = errorFromDocker(error, this.#engine.where);
      throw statusOf(error) === undefined ? failure : pullError(failure.message, error);
    }
  }

  async create(request: CreateRequest, signal: AbortSignal): Promise<string> {
    const carried = await this.#carriedVolumes(request, signal);
    const body = createBody(request, await this.#daemonLogDriver(signal), carried);
    try {
      const call = { what: "create container", method: "POST", path: "/containers/create", query: { name: request.name }, body } as const;
      return textOf(recordOf(await this.#engine.call(call, signal)).Id);
    } catch (error) {
      throw withoutEnvValues(error, request.spec.env);
    }
  }

  async #carriedVolumes({ spec, successorOf }: CreateRequest, signal: AbortSignal): Promise<readonly AnonymousVolume[]> {
    const old = successorOf === undefined ? undefined : await this.#inspectIfThere(successorOf, signal);
    const volumes = anonymousVolumesOf(recordOf(old));
    if (volumes.length === 0) return [];
    const image = await this.inspectImage(familiarReference(spec.image), signal);
    return carriedVolumes({ volumes, declared: declaredVolumesOf(recordOf(old)) }, spec, image?.volumes ?? []);
  }

  async connectNetwork(containerId: string, network: string, signal: AbortSignal): Promise<void> {
    const path = `/networks/${encodeURIComponent(network)}/connect`;
    await this.#change(containerId, { what: "connect network", method: "POST", path, body: { Container: containerId } }, signal);
  }

  async disconnectNetwork(containerId: string, networkId: string, signal: AbortSignal): Promise<void> {
    const path = `/networks/${encodeURIComponent(networkId)}/disconnect`;
    const call = { what: "disconnect network", method: "POST", path, body: { Container: containerId }, fineStatus: 404 } as const;
    try {
      await this.#change(containerId, call, signal);
    } catch (error) {
      if (!isNebulaError(error) || !says(error.message, "container ", " is not connected to ")) throw error;
    }
  }

  async start(containerId: string, signal: AbortSignal): Promise<void> {
    const path = containerPath(containerId, "/start");
    await this.#change(containerId, { what: "start container", method: "POST", path, fineStatus: 304 }, signal);
  }

  async stop(containerId: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const path = containerPath(containerId, "/stop");
    const limitMs = graceSeconds * 1000 + CALL_LIMIT_MS;
    await this.#change(containerId, { what: "stop container", method: "POST", path, query: { t: graceSeconds }, limitMs, fineStatus: 304 }, signal);
  }

  async restart(containerId: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const path = containerPath(containerId, "/restart");
    const limitMs = graceSeconds * 1000 + CALL_LIMIT_MS;
    await this.#change(containerId, { what: "restart container", method: "POST", path, query: { t: graceSeconds }, limitMs }, signal);
  }

  async unpause(containerId: string, signal: AbortSignal): Promise<void> {
    const path = containerPath(containerId, "/unpause");
    try {
      await this.#change(containerId, { what: "unpause container", method: "POST", path }, signal);
    } catch (error) {
      if (isNebulaError(error) && /is not paused/i.test(error.message)) return;
      throw error;
    }
  }

  async rename(containerId: string, name: string, signal: AbortSignal): Promise<void> {
    const path = containerPath(containerId, "/rename");
    await this.#change(containerId, { what: "rename container", method: "POST", path, query: { name } }, signal);
  }

  async remove(containerId: string, { force, keepsVolumes = false }: RemoveOptions, signal: AbortSignal): Promise<void> {
    const path = containerPath(containerId, "");
    const query = { force, v: !keepsVolumes };
    try {
      await this.#change(containerId, { what: "remove container", method: "DELETE", path, query, fineStatus: 404 }, signal);
    } catch (error) {
      if (isNebulaError(error) && says(error.message, "removal of container ", " is already in progress")) return;
      throw error;
    }
  }

  async removeVolume(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#engine.call({ what: "remove volume", method: "DELETE", path: `/volumes/${name}`, fineStatus: 404 }, signal);
    } catch (error) {
      if (!isNebulaError(error) || !error.message.includes("volume is in use")) throw error;
    }
  }

  async createNetwork(name: string, labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const body = { Name: name, Driver: "bridge", CheckDuplicate: true, Labels: labels };
    await this.#engine.call({ what: "create network", method: "POST", path: "/networks/create", body }, signal);
  }

  async removeNetwork(id: string, signal: AbortSignal): Promise<void> {
    await this.#engine.call({ what: "remove network", method: "DELETE", path: `/networks/${encodeURIComponent(id)}`, fineStatus: 404 }, signal);
  }

  async removeImage(id: string, signal: AbortSignal): Promise<void> {
    const image = inspectedImage(await this.#engine.call({ what: "inspect image", method: "GET", path: imagePath(id, "/json") }, signal));
    const user = (await this.#list(signal)).find(({ imageId }) => imageId === image.id);
    if (user !== undefined) throw new NebulaError("failed_precondition", `image ${id} is used by container ${user.name}`);
    // an image goes with its last reference; by its id only one with a single reference does
    const tags = image.references.filter((reference) => !reference.includes("@"));
    const names = image.references.length <= 1 ? [image.id] : tags.length > 0 ? tags : image.references;
    for (const name of names) {
      await this.#engine.call({ what: "remove image", method: "DELETE", path: imagePath(name, ""), fineStatus: 404 }, signal);
    }
  }

  async stats(containerId: string, signal: AbortSignal): Promise<ContainerStats> {
    const earlier = this.#cpuSamples.get(containerId);
    // without an earlier sample the engine takes two, a second apart
    const query = { stream: false, "one-shot": earlier !== undefined };
    const answer = await this.#engine.call({ what: "read stats", method: "GET", path: containerPath(containerId, "/stats"), query }, signal);
    const now = cpuSample(answer);
    if (now === undefined) this.#cpuSamples.delete(containerId);
    else this.#cpuSamples.set(containerId, now);
    return statsOf(answer, earlier ?? earlierCpuSample(answer));
  }

  events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.#events(this.#clock.now(), signal);
  }

  async *#events(since: number, signal: AbortSignal): AsyncGenerator<RuntimeEvent, void> {
    let endWatch = (): void => {};
    try {
      const query = { since: since / 1000, filters: JSON.stringify(EVENT_FILTERS) };
      const stream = await this.#engine.stream({ what: "read events", method: "GET", path: "/events", query }, signal);
      endWatch = this.#inspects.watch();
      for await (const value of jsonLines(stream)) {
        const event = parseEvent(value);
        if (event?.type === "container") this.#inspects.touch(event.id);
        if (event !== undefined) yield event;
      }
    } catch (error) {
      if (signal.aborted || this.#engine.closed.aborted) return;
      throw errorFromDocker(error, this.#engine.where);
    } finally {
      endWatch();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#engine[Symbol.dispose]();
  }

  /** A call that changes a container: what was known of it is not, from before the call until after it. */
  async #change(id: string, request: DockerRequest, signal: AbortSignal): Promise<void> {
    this.#inspects.touch(id);
    try {
      await this.#engine.call(request, signal);
    } finally {
      this.#inspects.touch(id);
    }
  }

  async #list(signal: AbortSignal): Promise<readonly ObservedContainer[]> {
    return listedContainers(
      await this.#engine.call({ what: "list containers", method: "GET", path: "/containers/json", query: { all: true } }, signal),
    );
  }

  /**
   * An engine that cuts the connection at one container, and answers otherwise, is not away: that container cannot be
   * inspected.
   */
  async #inspect(id: string, signal: AbortSignal, limitMs?: number): Promise<unknown> {
    try {
      return await this.#engine.call({ what: "inspect container", method: "GET", path: containerPath(id, "/json"), limitMs }, signal);
    } catch (error) {
      if (!isNebulaError(error, "unavailable")) throw error;
      await this.#engine.call(PING, signal);
      throw new NebulaError("internal", error.message, { cause: error });
    }
  }

  /** The engine's answer; undefined if there is no such container. */
  async #inspectIfThere(id: string, signal: AbortSignal): Promise<unknown> {
    try {
      return await this.#inspect(id, signal, INSPECT_LIMIT_MS);
    } catch (error) {
      if (isNebulaError(error, "not_found")) return undefined;
      throw unknownVolumes(id, error);
    }
  }

  /** undefined: it is gone since it was listed. */
  async #inspectListed(id: string, signal: AbortSignal): Promise<ObservedContainer | undefined> {
    try {
      return inspectedContainer(await this.#inspect(id, signal, INSPECT_LIMIT_MS));
    } catch (error) {
      if (isNebulaError(error, "not_found")) return undefined;
      throw error;
    }
  }

  async #daemonLogDriver(signal: AbortSignal): Promise<string> {
    const now = this.#clock.monotonic();
    if (this.#logDriver === undefined || now - this.#logDriver.at >= LOG_DRIVER_USABLE_MS) {
      const info = recordOf(await this.#engine.call(INFO, signal));
      this.#logDriver = { name: textOf(info.LoggingDriver), at: now };
    }
    return this.#logDriver.name;
  }

  async #ownContainerId(signal: AbortSignal): Promise<string | undefined> {
    if (this.#ownId === undefined) {
      const candidates = ownIdCandidates(await ownIdHints());
      const found = await Promise.all(candidates.map((candidate) => this.#ownIdOf(candidate, signal)));
      this.#ownId = { id: found.find((id) => id !== undefined) };
      this.#log.debug({ ownContainerId: this.#ownId.id }, "looked for the worker's own container");
    }
    return this.#ownId.id;
  }

  /**
   * The id of the container that a hint names; undefined: no container has its name. One that cannot be inspected exists, and must
   * be left alone.
   */
  async #ownIdOf(candidate: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      return (await this.#inspectListed(candidate, signal))?.id;
    } catch (error) {
      if (signal.aborted || isNebulaError(error, "unavailable")) throw error;
      return (await this.#list(signal)).find(({ id }) => id.startsWith(candidate))?.id;
    }
  }
}

function containerPath(id: string, rest: string): string {
  return `/containers/${encodeURIComponent(id)}${rest}`;
}

function imagePath(reference: string, rest: string): string {
  return `/images/${encodeURIComponent(reference)}${rest}`;
}

import type { Clock } from "../../../common/clock/clock.ts";
import type { ContainerSpec } from "../../../common/desired/container-spec.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { splitNameValue } from "../../../common/text/name-value.ts";
import type { ContainerDetails, ContainerHealth, ContainerPhase, ObservedContainer } from "../container-runtime.ts";
import type { ImageBehaviour } from "./behaviour.ts";

/** The wait before the engine's first restart of a container that ended; it doubles up to the longest, as Docker's does. */
const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 60_000;
/** A container that ran this long starts again with the shortest wait. */
const CALM_MS = 10_000;

type Made = Readonly<{
  id: string;
  name: string;
  spec: ContainerSpec;
  labels: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  createdAt: number;
  imageId: string;
  carriedVolumes: readonly string[];
  behaviour: ImageBehaviour;
  clock: Clock;
  /** Tells an event about this container. */
  tell: (action: string) => void;
}>;

/** One container of the simulated engine: its phases, its health, and what the restart policy makes of an end. */
export class SimulatedContainer {
  readonly id: string;
  name: string;
  readonly spec: ContainerSpec;
  readonly labels: Readonly<Record<string, string>>;
  readonly imageId: string;
  readonly behaviour: ImageBehaviour;
  readonly #carriedVolumes: readonly string[];
  readonly #clock: Clock;
  readonly #tell: (action: string) => void;
  readonly #createdAt: number;
  #networks: readonly string[];
  /** By network: its id. One given at create has none before the first start. */
  readonly #networkIds = new Map<string, string>();
  #phase: ContainerPhase = "created";
  #health: ContainerHealth = "none";
  #startedAt: number | undefined;
  #startedMonotonic = 0;
  #finishedAt: number | undefined;
  #exitCode: number | undefined;
  #restartCount = 0;
  #restartWaitMs = FIRST_RESTART_MS;
  #timers = new AbortController();
  #upBeforeShutdown = false;

  constructor({ id, name, spec, labels, createdAt, imageId, carriedVolumes, behaviour, clock, tell }: Made) {
    this.id = id;
    this.name = name;
    this.spec = spec;
    this.labels = labels;
    this.imageId = imageId;
    this.#carriedVolumes = carriedVolumes;
    this.behaviour = behaviour;
    this.#clock = clock;
    this.#tell = tell;
    this.#createdAt = createdAt;
    this.#networks = spec.networks.slice(0, 1);
  }

  /** Whether it holds its ports and its process is there, or about to be again. */
  get isUp(): boolean {
    return this.#phase === "running" || this.#phase === "restarting" || this.#phase === "paused";
  }

  observe(): ObservedContainer {
    const ignoresPorts = this.#networks[0] === "host" || this.#networks[0] === "none";
    return {
      id: this.id,
      name: this.name,
      labels: this.labels,
      phase: this.#phase,
      health: this.#phase === "running" ? this.#health : "none",
      image: this.spec.image,
      imageId: this.imageId,
      hostPorts: ignoresPorts ? [] : this.spec.ports.map(({ containerPort: _, ...port }) => port),
      networks: this.#networks,
      networkIds: this.#networks.flatMap((name) => this.#networkIds.get(name) ?? []),
      createdAt: this.#createdAt,
      startedAt: this.#startedAt,
      finishedAt: this.#finishedAt,
      exitCode: this.#exitCode,
      ...(this.#phase === "restarting" && this.behaviour.exit?.outOfMemory === true && { outOfMemory: { limitBytes: this.spec.memoryBytes } }),
      healthOutput: this.#health === "unhealthy" ? this.behaviour.health.output : undefined,
      restartCount: this.#restartCount,
      ...(this.#carriedVolumes.length > 0 && { carriedVolumes: this.#carriedVolumes }),
    };
  }

  /** As a list shows it, without what only an inspect tells. @param failure why there is no inspect */
  glimpse(failure: string | undefined): ObservedContainer {
    const shown = this.observe();
    const hidden = { startedAt: undefined, finishedAt: undefined, exitCode: undefined, restartCount: 0 };
    return { ...shown, ...hidden, hostPorts: this.isUp ? shown.hostPorts : [], listedOnly: { failure } };
  }

  /** As an inspect shows it. @param imageCommand what the image runs where the spec says nothing */
  details(imageEnv: readonly string[], imageCommand: readonly string[]): Omit<ContainerDetails, "anonymousVolumes"> {
    const spec = withImageEnv(this.spec, imageEnv);
    return {
      container: this.observe(),
      env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
      portBindings: spec.ports,
      binds: spec.volumes,
      devices: spec.devices,
      privileged: spec.privileged,
      restartPolicy: spec.restartPolicy,
      spec: {
        ...spec,
        command: spec.command.length > 0 ? spec.command : imageCommand,
        healthcheck: spec.healthcheck ?? this.behaviour.healthcheck,
        labels: this.labels,
        networks: this.networks(),
      },
    };
  }

  networks(): readonly string[] {
    return this.#networks;
  }

  /** The name by which it is on a network; undefined: it is not. */
  networkOf(id: string): string | undefined {
    return [...this.#networkIds].find(([, known]) => known === id)?.[0];
  }

  connect(network: string, id: string): void {
    if (this.#networks.includes(network))
      throw new NebulaError("already_exists", `endpoint with name ${this.name} already exists in network ${network}`);
    this.#networks = [...this.#networks, network];
    this.#networkIds.set(network, id);
  }

  /**
   * Finds each of its networks by its name, as the engine does at each start.
   * @param idOf throws for one that it does not find
   */
  attach(idOf: (network: string) => string): void {
    for (const network of this.#networks) this.#networkIds.set(network, idOf(network));
  }

  disconnect(network: string): void {
    this.#networks = this.#networks.filter((name) => name !== network);
    this.#networkIds.delete(network);
  }

  start(): void {
    this.#restartCount = 0;
    this.#restartWaitMs = FIRST_RESTART_MS;
    this.#run();
  }

  stop(): void {
    const was = this.isUp;
    this.endTimers();
    if (!was) return;
    this.#end(0);
    this.#phase = "exited";
    this.#tell("die");
    this.#tell("stop");
  }

  /** Its process ends by itself, or is killed; the restart policy decides what comes next. */
  exit(code: number): void {
    if (!this.isUp) return;
    const ranMs = this.#clock.monotonic() - this.#startedMonotonic;
    this.endTimers();
    this.#end(code);
    if (this.spec.restartPolicy === "no") {
      this.#phase = "exited";
      this.#tell("die");
      return;
    }
    this.#phase = "restarting";
    this.#restartWaitMs = ranMs >= CALM_MS ? FIRST_RESTART_MS : Math.min(this.#restartWaitMs * 2, LONGEST_RESTART_MS);
    this.#tell("die");
    this.#after(this.#restartWaitMs, () => {
      this.#restartCount++;
      this.#run();
    });
  }

  pause(): void {
    if (this.#phase !== "running") return;
    this.endTimers();
    this.#phase = "paused";
    this.#tell("pause");
  }

  unpause(): void {
    if (this.#phase !== "paused") return;
    this.#phase = "running";
    this.#tell("unpause");
    this.#live();
  }

  stickInRemoval(): void {
    this.stop();
    this.#phase = "removing";
  }

  setHealth(health: ContainerHealth): void {
    if (this.#phase !== "running" || this.#health === health) return;
    this.#health = health;
    this.#tell(`health_status: ${health}`);
  }

  engineDown(): void {
    this.#upBeforeShutdown = this.isUp;
    this.endTimers();
    if (this.isUp) this.#end(137);
    if (this.#upBeforeShutdown) this.#phase = "exited";
  }

  engineUp(): void {
    if (this.#upBeforeShutdown && this.spec.restartPolicy === "unless-stopped") this.#run();
  }

  endTimers(): void {
    this.#timers.abort();
    this.#timers = new AbortController();
  }

  #run(): void {
    this.#phase = "running";
    this.#startedAt = this.#clock.now();
    this.#startedMonotonic = this.#clock.monotonic();
    this.#exitCode = undefined;
    const check = this.spec.healthcheck ?? this.behaviour.healthcheck;
    this.#health = check !== undefined && check.test[0] !== "NONE" ? "starting" : "none";
    this.#tell("start");
    this.#live();
  }

  /** Schedules the end of its process and the result of its health check. */
  #live(): void {
    const { exit, health } = this.behaviour;
    if (exit !== undefined) this.#after(exit.afterMs, () => this.exit(exit.code));
    if (this.#health !== "none" && health.becomes !== "starting") this.#after(health.afterMs, () => this.setHealth(health.becomes));
  }

  #end(code: number): void {
    this.#finishedAt = this.#clock.now();
    this.#exitCode = code;
    this.#health = "none";
  }

  #after(ms: number, act: () => void): void {
    const { signal } = this.#timers;
    if (ms <= 0) {
      setImmediate(() => {
        if (!signal.aborted) act();
      });
      return;
    }
    this.#clock.sleep(ms, signal).then(act, () => {});
  }
}

/** Returns the spec with the environment that the engine shows: the image's, then the spec's over it. */
function withImageEnv(spec: ContainerSpec, imageEnv: readonly string[]): ContainerSpec {
  const fromImage = imageEnv.map(splitNameValue);
  return { ...spec, env: { ...Object.fromEntries(fromImage), ...spec.env } };
}

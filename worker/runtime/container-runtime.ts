import type { ContainerSpec, HealthcheckSpec, HostPort, PortBinding } from "../../common/desired/container-spec.ts";
import type { AnonymousVolume } from "./anonymous-volumes.ts";
import type { PullSign } from "./pull-progress.ts";

/** How long one call to the engine may take, milliseconds. */
export const CALL_LIMIT_MS = 60_000;
/** The same of an inspect that a list needs: one container never holds up a look for long. */
export const INSPECT_LIMIT_MS = 10_000;

export type CreateRequest = Readonly<{
  name: string;
  spec: ContainerSpec;
  labels: Readonly<Record<string, string>>;
  /**
   * Id of the container whose anonymous volumes the new one gets, where both images declare them; one that is gone has
   * none.
   */
  successorOf?: string | undefined;
}>;

export type RemoveOptions = Readonly<{ force: boolean; keepsVolumes?: boolean }>;

export type ContainerPhase = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";
export type ContainerHealth = "none" | "starting" | "healthy" | "unhealthy";

/**
 * A container as a list shows it: enough for the plan. Of a container without the label `orchestrator=nebula` the list tells less: no times, exit code
 * and restarts, and only those host ports that it has now.
 */
export type ObservedContainer = Readonly<{
  id: string;
  /** Without the leading slash. */
  name: string;
  labels: Readonly<Record<string, string>>;
  phase: ContainerPhase;
  health: ContainerHealth;
  /** The reference it was made with, as the engine tells it. */
  image: string;
  imageId: string;
  /** Host ports: those published now, and those asked for by a container that does not run. */
  hostPorts: readonly HostPort[];
  /** Names of the networks it is connected to. */
  networks: readonly string[];
  /** Ids of those that it was connected to when it was started last. */
  networkIds: readonly string[];
  /** Milliseconds since 1970 by the engine's clock. */
  createdAt: number;
  startedAt: number | undefined;
  finishedAt: number | undefined;
  exitCode: number | undefined;
  /**
   * The container ended because it reached its memory limit, bytes (0: the machine's memory); absent: it did not, or runs again.
   */
  outOfMemory?: Readonly<{ limitBytes: number }> | undefined;
  /**
   * The end of what its failing health check printed, without values of env; absent: none fails, or nothing was
   * printed.
   */
  healthOutput?: string | undefined;
  /** How often the engine started it again by itself. */
  restartCount: number;
  /** Ids of the anonymous volumes that it has from a container before it: the engine does not remove them with it. Absent: none. */
  carriedVolumes?: readonly string[] | undefined;
  /**
   * Set where only the list shows it, and the last inspect before: it was to be left out, or its inspect failed (why).
   */
  listedOnly?: Readonly<{ failure: string | undefined }>;
}>;

/** The further details that inspect shows: for the adoption of containers that somebody else made. */
export type ContainerDetails = Readonly<{
  container: ObservedContainer;
  env: readonly string[];
  portBindings: readonly PortBinding[];
  binds: readonly string[];
  devices: readonly string[];
  /** Those for paths that its image declares, its own and those of containers before it. */
  anonymousVolumes: readonly AnonymousVolume[];
  privileged: boolean;
  restartPolicy: string;
  /** The whole spec as far as inspect shows it, defaults filled in; env as the container has it, the image's included. */
  spec: ContainerSpec;
}>;

export type ObservedImage = Readonly<{
  id: string;
  /** Normalised references. */
  references: readonly string[];
  sizeBytes: number;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** Every container made of it has these, unless its maker set others. */
  labels: Readonly<Record<string, string>>;
}>;

/** The settings that a container gets from its image where its spec says nothing. */
export type ImageDetails = ObservedImage &
  Readonly<{
    env: readonly string[];
    hasHealthcheck: boolean;
    healthcheck: HealthcheckSpec | undefined;
    command: readonly string[];
    entrypoint: readonly string[];
    user: string;
    workingDir: string;
    /** Paths for which each container gets an anonymous volume, unless something else is mounted there. */
    volumes: readonly string[];
  }>;

export type ObservedNetwork = Readonly<{
  id: string;
  /** Engines let several networks have one name, where they were made at the same time. */
  name: string;
  driver: string;
  labels: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  createdAt: number;
}>;

export type EngineInfo = Readonly<{
  /** The engine's clock when it answered, milliseconds since 1970. */
  clock: number;
  hostname: string;
  cores: number;
  memoryBytes: number;
  engineVersion: string;
  apiVersion: string;
  os: string;
  arch: string;
  /** Id of the container that this process runs in; undefined outside of one. */
  ownContainerId: string | undefined;
  /** Where the engine keeps images and containers, on its machine; undefined: not known. */
  rootDir: string | undefined;
}>;

export type ContainerStats = Readonly<{ memoryBytes: number; cpuPercent: number }>;

export type RegistryLogin = Readonly<{ username: string; password: string; registry: string } | { identityToken: string; registry: string }>;

export type PullOptions = Readonly<{
  login: RegistryLogin | undefined;
  /** Called for each line of the engine's. */
  onLine: (sign: PullSign) => void;
  signal: AbortSignal;
}>;

/** Something happened to a container (health changes included), an image or a network; a hint that causes a look. */
export type RuntimeEvent = Readonly<{
  type: "container" | "image" | "network";
  /** Docker's word: create, start, die, stop, destroy, rename, health_status: unhealthy, ... */
  action: string;
  id: string;
  /** Labels of the container; empty for others. */
  labels: Readonly<Record<string, string>>;
  /** Of a network: the container that was put on it or taken off. */
  containerId?: string | undefined;
  /** With which code a container ended, where it did. */
  exitCode?: number | undefined;
  /** Milliseconds since 1970 by the engine's clock. */
  at: number;
}>;

/**
 * The engine that runs containers. Every method rejects with a NebulaError: `unavailable` (the engine cannot be reached), `not_found`,
 * `already_exists` (a name is taken), `resource_exhausted` (a pull found no space), `invalid_argument` or
 * `failed_precondition` (the engine refuses; its words are the message), `deadline_exceeded` (no answer within the time
 * limit), `unauthenticated` (a registry wants another login). Every call but events and pull has a time limit: 60 s, a
 * stop or restart its grace + 60 s, an inspect that is part of a list 10 s. The engine may finish a call after its
 * limit.
 */
export interface ContainerRuntime extends AsyncDisposable {
  info(signal: AbortSignal): Promise<EngineInfo>;
  /**
   * Every container of the engine, also those that are not ours (what holds a name or a port). One that cannot be
   * inspected is `listedOnly`, and never fails the list. @param leaveOut ids of containers that are not inspected
   */
  listContainers(signal: AbortSignal, leaveOut?: ReadonlySet<string>): Promise<readonly ObservedContainer[]>;
  /** @param limitMs 60 s unless given */
  inspectContainer(id: string, signal: AbortSignal, limitMs?: number): Promise<ContainerDetails>;
  listImages(signal: AbortSignal): Promise<readonly ObservedImage[]>;
  /** undefined: not on the device. @param limitMs 60 s unless given */
  inspectImage(reference: string, signal: AbortSignal, limitMs?: number): Promise<ImageDetails | undefined>;
  listNetworks(signal: AbortSignal): Promise<readonly ObservedNetwork[]>;
  pull(reference: string, options: PullOptions): Promise<void>;
  /** Creates with the first network; answers the container's id. */
  create(request: CreateRequest, signal: AbortSignal): Promise<string>;
  /** @param network its id, or a name that no other network has */
  connectNetwork(containerId: string, network: string, signal: AbortSignal): Promise<void>;
  /** Not on it, or the network is gone: fine. */
  disconnectNetwork(containerId: string, networkId: string, signal: AbortSignal): Promise<void>;
  start(containerId: string, signal: AbortSignal): Promise<void>;
  /** Stopped already: fine. */
  stop(containerId: string, graceSeconds: number, signal: AbortSignal): Promise<void>;
  restart(containerId: string, graceSeconds: number, signal: AbortSignal): Promise<void>;
  /** Not paused, or not any more: fine. */
  unpause(containerId: string, signal: AbortSignal): Promise<void>;
  rename(containerId: string, name: string, signal: AbortSignal): Promise<void>;
  /**
   * With its anonymous volumes that no other container has, but for carried ones, unless `keepsVolumes` is set; gone
   * already: fine. `force` kills it first.
   */
  remove(containerId: string, options: RemoveOptions, signal: AbortSignal): Promise<void>;
  /** Gone already, or a container has it: fine, and it stays. */
  removeVolume(name: string, signal: AbortSignal): Promise<void>;
  /** Gone already: fine. One that a container which is up is connected to is `failed_precondition`. */
  removeNetwork(id: string, signal: AbortSignal): Promise<void>;
  createNetwork(name: string, labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void>;
  /** Without force: an image that a container uses is `failed_precondition`. */
  removeImage(id: string, signal: AbortSignal): Promise<void>;
  stats(containerId: string, signal: AbortSignal): Promise<ContainerStats>;
  /**
   * The events from this call on, checks of health and the like left out. Ends, or throws `unavailable`, when the connection to the engine ends; the
   * caller opens it again and lists again. Ends when the signal is aborted.
   */
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>;
}

import type { HealthcheckSpec } from "../../common/desired/container-spec.ts";
import type { ContainerDetails, EngineInfo, ImageDetails, ObservedContainer, ObservedImage, ObservedNetwork } from "../runtime/container-runtime.ts";
import type { PullBytes } from "../runtime/pull-progress.ts";
import type { Classified } from "./owned.ts";

/** A pull under way, and the units that it is for. */
export type PullJob = Readonly<{
  image: string;
  wanters: readonly PullWanter[];
  /** Milliseconds of the monotonic clock. */
  startedAt: number;
  bytes: PullBytes;
  /** The pull was aborted, and has not ended yet. */
  isEnding: boolean;
}>;

/** A unit (an app or a cron_job) that waits for a pull, and its spec. */
export type PullWanter = Readonly<{
  unit: string;
  image: string;
  change: string;
  restartCount: bigint;
  /** Under which a failure is remembered. */
  failureKey: string;
  /**
   * Since when a restart of the unit asks for a pull that begins after it, milliseconds of the monotonic clock;
   * undefined: none does.
   */
  restartedAt: number | undefined;
}>;

/** The jobs under way beside the rounds. */
export type Jobs = Readonly<{
  pulls: readonly PullJob[];
  /** Ids of containers that are being stopped or restarted. */
  stops: ReadonlySet<string>;
  /** Whether a config is being written to the disk: the one there may name other images. */
  saving: boolean;
  /** Lanes whose steps are under way. */
  lanes: ReadonlySet<string>;
  /** Ids of the containers that those steps are about. */
  touched: ReadonlySet<string>;
  /** By container id: keys of the steps of those that are about that container alone, not about its place. */
  ownKeys: ReadonlyMap<string, readonly string[]>;
}>;

export const NO_JOBS: Jobs = { pulls: [], stops: new Set(), saving: false, lanes: new Set(), touched: new Set(), ownKeys: new Map() };

/** A container that the plan compares by its inspect result, with the environment of its image. */
export type ComparedContainer = Readonly<{ details: ContainerDetails; image: ImageDetails | undefined }>;

/** The state of the engine at one look. */
export type Observed = Readonly<{
  engine: EngineInfo;
  containers: readonly ObservedContainer[];
  /** The containers by owner. */
  classified: Classified;
  images: readonly ObservedImage[];
  networks: readonly ObservedNetwork[];
  /** By container id: those whose spec does not follow from a label. */
  compared: ReadonlyMap<string, ComparedContainer>;
  /** By image id: the health checks of images whose containers have one that is not the app's. */
  imageHealthchecks: ReadonlyMap<string, HealthcheckSpec>;
  /** By container id: its last exit code, if an event had one. */
  exits: ReadonlyMap<string, number>;
  jobs: Jobs;
}>;

/** The identity of this worker, fixed for one start. */
export type WorkerIdentity = Readonly<{
  instance: string;
  boot: string;
  /** Whether containers of the original are adopted; only ever in instance main. */
  adopt: boolean;
  keepImages: number;
  maxRestartWaitMs: number;
  /**
   * Ids of the clusters that this data folder followed or took over; the one of the config is among them.
   */
  followed: ReadonlySet<string>;
}>;

/** A worker that follows a cluster from now on. */
export function following(identity: WorkerIdentity, clusterId: string): WorkerIdentity {
  return identity.followed.has(clusterId) ? identity : { ...identity, followed: new Set([...identity.followed, clusterId]) };
}

/** Both clocks at one moment, milliseconds. */
export type Now = Readonly<{ wall: number; monotonic: number }>;

import type { ClusterIdentity } from "../common/storage/config-store.ts";
import type { Classified } from "./owned.ts";
import type {
  ContainerDetails,
  ContainerSpec,
  EngineInfo,
  HealthcheckSpec,
  ImageDetails,
  ObservedContainer,
  ObservedImage,
  ObservedNetwork,
} from "./runtime/container-runtime.ts";

/** What one device should run, worked out from its config: what there is to plan from. Lists are in the group's order. */
export type Desired = Readonly<{
  cluster: ClusterIdentity;
  deviceGroup: string;
  groupRevision: bigint;
  pruneId: bigint;
  apps: readonly DesiredApp[];
  cronJobs: readonly DesiredCronJob[];
}>;

type Named = Readonly<{ name: string; revision: bigint }>;

/** An app that is deleted, or never existed. */
export type GoneEntry = Named & Readonly<{ kind: "gone" }>;

/** An entry that this worker does not act on: what runs of it is left as it is. */
export type RefusedEntry = Named & Readonly<{ kind: "refused"; reason: string /** Normalised; no prune takes it away. */; image: string }>;

/** An app of which nothing is to run. */
export type StoppedApp = Named & Readonly<{ kind: "stopped"; stopGraceSeconds: number; image: string }>;

export type PullPolicy = "on_change" | "always" | "missing" | "never";

export type RunningApp = Named &
  Readonly<{
    kind: "running";
    image: string;
    pullPolicy: PullPolicy;
    restartCount: bigint;
    rolling: boolean;
    minHealthyMs: number;
    /** Whether a new container starts with empty anonymous volumes. */
    renewsVolumes: boolean;
    stopGraceSeconds: number;
    /** Names the app's spec as a whole, whatever the index: another value is a change of the app. */
    change: string;
    /** One per container, index 1 first. */
    instances: readonly DesiredInstance[];
    notes: readonly string[];
  }>;

export type DesiredApp = RunningApp | StoppedApp | GoneEntry | RefusedEntry;

/** One container of an app. `refusal`: why there can be no such container (a port beyond 65535). */
export type DesiredInstance = Readonly<{ index: number; spec: ContainerSpec; hash: string; refusal: string | undefined }>;

export type ScheduledCronJob = Named &
  Readonly<{
    kind: "scheduled";
    /** false: no run is started, one that goes on finishes. */
    running: boolean;
    schedule: string;
    /** IANA name; undefined: the worker's. */
    timeZone: string | undefined;
    overlap: "skip" | "replace" | "allow";
    image: string;
    pullPolicy: PullPolicy;
    stopGraceSeconds: number;
    spec: ContainerSpec;
    hash: string;
    notes: readonly string[];
  }>;

export type DesiredCronJob = ScheduledCronJob | GoneEntry | RefusedEntry;

/** A pull under way, and for whom. */
export type PullJob = Readonly<{
  image: string;
  wanters: readonly PullWanter[];
  /** Milliseconds of the monotonic clock. */
  startedAt: number;
  /** It was aborted, and has not ended yet. */
  isEnding: boolean;
}>;

/** Who waits for a pull: the unit (an app or a cron_job), and its spec. */
export type PullWanter = Readonly<{
  unit: string;
  image: string;
  change: string;
  restartCount: bigint;
  /** Under which a failure is remembered. */
  failureKey: string;
  /** Since when a restart of the unit asks for a pull that begins after it, milliseconds of the monotonic clock; undefined: none does. */
  restartedAt: number | undefined;
}>;

/** What goes on beside the rounds. */
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
  /** Keys of those steps. */
  keys: ReadonlySet<string>;
}>;

export const NO_JOBS: Jobs = { pulls: [], stops: new Set(), saving: false, lanes: new Set(), touched: new Set(), keys: new Set() };

/** A container that the plan has to compare by what inspect tells, with the environment of its image. */
export type ComparedContainer = Readonly<{ details: ContainerDetails; image: ImageDetails | undefined }>;

/** What the engine says now. */
export type Observed = Readonly<{
  engine: EngineInfo;
  containers: readonly ObservedContainer[];
  /** Whose they are. */
  classified: Classified;
  images: readonly ObservedImage[];
  networks: readonly ObservedNetwork[];
  /** By container id: those whose spec can't be told from a label. */
  compared: ReadonlyMap<string, ComparedContainer>;
  /** By image id: the health checks of images whose containers have one that is not the app's. */
  imageHealthchecks: ReadonlyMap<string, HealthcheckSpec>;
  /** By container id: with which code it ended last, where an event told. */
  exits: ReadonlyMap<string, number>;
  jobs: Jobs;
}>;

/** Who this worker is, fixed for one start. */
export type WorkerIdentity = Readonly<{
  instance: string;
  boot: string;
  /** Whether containers of the original are adopted; only ever in instance main. */
  adopt: boolean;
  keepImages: number;
  maxRestartWaitMs: number;
  /** Ids of the clusters that this data folder followed, or was told to take over; the one of the config is among them. */
  followed: ReadonlySet<string>;
}>;

/** A worker that follows a cluster from now on. */
export function following(identity: WorkerIdentity, clusterId: string): WorkerIdentity {
  return identity.followed.has(clusterId) ? identity : { ...identity, followed: new Set([...identity.followed, clusterId]) };
}

/** Both clocks at one moment, milliseconds. */
export type Now = Readonly<{ wall: number; monotonic: number }>;

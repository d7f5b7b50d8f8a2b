import type { HostPort } from "../../../common/desired/container-spec.ts";
import type { Cause } from "../../../common/desired/desired.ts";
import type { ClusterIdentity } from "../../../common/storage/config-store.ts";
import type { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { Now } from "../../observed/observed.ts";
import type { PulledImage, Step } from "../step.ts";

/**
 * The input of a plan beside the desired and the observed state. Values are never changed: `remember.ts` makes new ones.
 * Times are milliseconds of the monotonic clock unless they say otherwise. Marked "kept": written to the worker's data folder.
 */
export type Memory = Readonly<{
  /** By the key of the step. */
  failures: ReadonlyMap<string, Failure>;
  /** By unit: the newest pull that brought its image. Kept. */
  pulled: ReadonlyMap<string, Pulled>;
  /** By unit: since when the worker knows of its spec. */
  specSince: ReadonlyMap<string, SpecSince>;
  /** By container id. */
  runs: ReadonlyMap<string, RunWatch>;
  /** By container id: since when it was seen in removal. */
  removing: ReadonlyMap<string, number>;
  /** By container id. */
  healthRestarts: ReadonlyMap<string, HealthRestarts>;
  /** The engine's clock at the first look of this start, and when that was; undefined before it. */
  engineStart: Readonly<{ clock: number; at: Now }> | undefined;
  /** Ids of the images at the last look. */
  imageIds: ReadonlySet<string>;
  /**
   * Ids of the containers of our instance, those of foreign clusters included, at the last look; undefined: there was
   * none yet.
   */
  seenIds: ReadonlySet<string> | undefined;
  /** Nothing is done before this because another worker of this instance was seen; 0: none was. */
  quietUntil: number;
  /**
   * By container id: the spec that this worker made a container of an app with, or that inspect showed it to fit. Kept.
   */
  adopted: ReadonlyMap<string, string>;
  /** By id: volumes that go once this container is gone. Kept before it is removed, so that a worker killed in between finds them. */
  volumes: ReadonlyMap<string, string>;
  /** The prune that was done last, or set when the group was first seen. Kept. */
  pruned: PruneMark | undefined;
  /** The revisions that were applied last, and their cluster; undefined: none yet. Kept. */
  applied: Applied | undefined;
  /** By cron_job. */
  cron: ReadonlyMap<string, CronMemory>;
  /** By unit: images that this worker pulled for it, oldest first. Kept. */
  imageHistory: ReadonlyMap<string, readonly PulledImage[]>;
  /** Containers that were put right since this start though the config had not changed: re-created, started or restarted. */
  repairs: number;
  /** By unit that something is kept of: since when the config does not name it and it has no container. */
  goneSince: ReadonlyMap<string, number>;
  /** By unit: for how many whole hours that has been so, those before this start included. Kept. */
  goneHours: ReadonlyMap<string, number>;
}>;

export type Failure = Readonly<{
  step: Step["kind"];
  /** The unit of the step. */
  unit: string;
  tries: number;
  /** When it failed first. */
  since: number;
  notBefore: number;
  code: FailureCode;
  reason: string;
  /** The host ports that a refused start asked for. */
  ports: readonly HostPort[];
  /** Up containers that held one of those at the first look after it: when they are gone it is tried at once. undefined: not looked yet. */
  holders: readonly string[] | undefined;
  /** The container that the last try was about; undefined if the step is about none. */
  containerId: string | undefined;
  /** Whether the failure is that of a place, and outlasts the container that it was tried with. */
  isOfPlace: boolean;
  /** Of a pull: the image. */
  pulled: string | undefined;
}>;

export type SpecSince = Readonly<{
  change: string;
  since: number;
  restartCount: bigint;
  /** When the restart count was seen to rise; undefined: it was not. */
  restartedAt: number | undefined;
}>;

export type Pulled = Readonly<{
  image: string;
  change: string;
  restartCount: bigint;
  /** The image that the pull brought; not known before the first look after it. */
  brought: Readonly<{ kind: "known"; id: string }> | UnknownImage;
  /** A container was made from it: pull policy `always` wants another one. */
  used: boolean;
}>;

type UnknownImage = Readonly<{
  kind: "unknown";
  /** Ids of the images that were on the device before the pull; undefined: not known. */
  present: ReadonlySet<string> | undefined;
  /**
   * The first that succeeded for this spec: a container that was made of the same image while it could not be pulled
   * has used it.
   */
  isFirst: boolean;
}>;

/** A container that runs, as this worker has seen it. */
export type RunWatch = Readonly<{
  /** Since when it was seen running without a restart. */
  since: number;
  startedAt: number | undefined;
  restartCount: number;
  /** The engine had restarted it, or was about to, when it was first seen. */
  foundRestarted: boolean;
  /** How often it was seen to have been restarted by the engine. */
  restartsSeen: number;
  /** Of its last end, where one was seen. */
  exitCode: number | undefined;
  /** Whether its last end that was seen was for want of memory. */
  outOfMemory: Readonly<{ limitBytes: number }> | undefined;
  /** Since when it was seen paused; undefined: it is not. */
  pausedSince: number | undefined;
  /** Since when it was seen healthy without a break; undefined: it is not. */
  healthySince: number | undefined;
}>;

export type HealthRestarts = Readonly<{ count: number; notBefore: number }>;

export type PruneMark = Readonly<{ cluster: ClusterIdentity; deviceGroup: string; pruneId: bigint }>;

/** `revisions`: by unit, the newest that it was fully at. */
export type Applied = Readonly<{ cluster: ClusterIdentity; revisions: ReadonlyMap<string, bigint> }>;

/** Times of cron are of the wall clock, milliseconds since 1970. */
export type CronMemory = Readonly<{
  /** The schedule and time zone that the rest is about. */
  timetable: string;
  /** Due times up to this were considered. */
  considered: number;
  /** When the last run was due that was started or decided against; undefined: none yet. */
  lastDue: number | undefined;
  /** The run to be made now. */
  pending: number | undefined;
  /** Why the last run failed or was skipped; undefined: it did not. */
  problem: Readonly<({ kind: "failed" } & Cause) | { kind: "skipped"; reason: string }> | undefined;
  /** Runs that were due while the worker or the engine was away, until the next one is due; undefined: none were. */
  missed: MissedRuns | undefined;
  nextDue: number | undefined;
}>;

/** `newest` is undefined where there were more than are counted. */
export type MissedRuns = Readonly<{ count: number; newest: number | undefined }>;

export const EMPTY_MEMORY: Memory = {
  failures: new Map(),
  pulled: new Map(),
  specSince: new Map(),
  runs: new Map(),
  removing: new Map(),
  healthRestarts: new Map(),
  engineStart: undefined,
  imageIds: new Set(),
  seenIds: undefined,
  quietUntil: 0,
  adopted: new Map(),
  volumes: new Map(),
  pruned: undefined,
  applied: undefined,
  cron: new Map(),
  imageHistory: new Map(),
  repairs: 0,
  goneSince: new Map(),
  goneHours: new Map(),
};

/** The part of the memory that outlives the worker. */
export type KeptMemory = Pick<Memory, "pulled" | "adopted" | "volumes" | "pruned" | "applied" | "imageHistory" | "goneHours">;

/** Ids of the containers whose inspect failed: a look leaves them out, and a job inspects them until that succeeds. */
export function uninspectable({ failures }: Pick<Memory, "failures">): ReadonlySet<string> {
  const ids = [...failures.values()].map(({ step, containerId }) => (step === "inspect" ? containerId : undefined));
  return new Set(ids.filter((id) => id !== undefined));
}

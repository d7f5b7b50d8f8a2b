import { NebulaError } from "../errors/nebula-error.ts";
import type { Movable } from "./movable.ts";
import type { Page, PageRequest } from "./page.ts";

/** The kinds of entities. The names are those of the API and of v2. */
export const ENTITY_KINDS = ["app", "cron_job", "device_group"] as const;

export type EntityKind = (typeof ENTITY_KINDS)[number];

export type EntityKey = Readonly<{ kind: EntityKind; name: string }>;

/** Returns one string per entity, for maps. */
export function keyText({ kind, name }: EntityKey): string {
  return `${kind}/${name}`;
}

/** The actions that make a revision. */
export const CHANGE_ACTIONS = ["create", "update", "delete", "start", "stop", "restart", "prune", "rollback"] as const;

export type ChangeAction = (typeof CHANGE_ACTIONS)[number];

/** An entity at one revision; a deleted one is a tombstone, never an absent row (R1). */
export type StoredEntity = EntityKey &
  Readonly<{
    /** From 1. Within a cluster a name's revision never falls and is never given twice. */
    revision: bigint;
    deleted: boolean;
    /** The encoded App, CronJob or DeviceGroup; of a tombstone the last one before the delete. */
    body: Uint8Array;
    action: ChangeAction;
    /** Milliseconds since 1970, by the clock of the manager that wrote it. */
    changedAt: number;
    /** The user whose credential made the change. */
    changedBy: string;
  }>;

/** The members of a device_group, by which groupsNaming finds it. */
export type GroupMembers = Readonly<{ apps: readonly string[]; cronJobs: readonly string[] }>;

export type EntityWrite = StoredEntity &
  Readonly<{
    /** The revision that has to be stored now; 0n: the name was never used. */
    expected: bigint;
    /** Of a device_group: its members (none for a tombstone). */
    members?: GroupMembers;
  }>;

export type WriteOutcome = Readonly<
  | { kind: "written" }
  /** Nothing was written: this revision is stored in place of the expected one. */
  | { kind: "conflict"; revision: bigint }
  /** The write may be stored, now or in a while, or never: the store did not answer in time, and could not settle it. */
  | { kind: "unknown" }
>;

/** An entity as one store hands it to another: at its newest revision, with its members and its kept revisions. */
export type EntityRecord = EntityKey &
  Readonly<{
    newest: StoredEntity;
    /** Of a device_group that is not deleted, sorted, each name once; of any other entity: none. */
    members: GroupMembers;
    /** Newest first; the newest revision is among them. */
    history: readonly StoredEntity[];
  }>;

export type ClusterIdentity = Readonly<{
  /** 128 random bits, 32 hexadecimal digits, made when the store was first created. */
  id: string;
  /** 1 at first; only a restore from a backup raises it. UNFINISHED_EPOCH: the store holds a part of what is moved to it. */
  epoch: bigint;
}>;

/** A component that runs on a store. */
export type RunningMark = Readonly<{
  /** Of this start of the component, random. */
  id: string;
  /** For messages, such as "manager on host-1 (process 7)". */
  component: string;
}>;

/** The epoch of a store while it is the target of a move. Components refuse such a store: devices would follow a part of the cluster. */
export const UNFINISHED_EPOCH = 0n;

/** Throws `failed_precondition` for a store to which a move did not end. */
export function assertFinished({ id, epoch }: ClusterIdentity): void {
  if (epoch !== UNFINISHED_EPOCH) return;
  throw new NebulaError(
    "failed_precondition",
    `this store holds only a part of cluster ${id}: a move to it did not end; run nebula migrate --from --to again`,
  );
}

/** The members as an EntityRecord has them. */
export function sortedMembers({ apps, cronJobs }: GroupMembers): GroupMembers {
  return { apps: [...new Set(apps)].sort(), cronJobs: [...new Set(cronJobs)].sort() };
}

/** The highest revision that a store can hold. */
export const MAX_REVISION = 2n ** 63n - 1n;

/** @throws NebulaError `invalid_argument` for a revision above MAX_REVISION, `internal` for one that is not above the expected */
export function assertRevision({ kind, name, expected, revision }: EntityWrite): void {
  if (revision <= expected) throw new NebulaError("internal", `revision ${revision} of ${kind} ${name} is not above ${expected}`);
  if (revision > MAX_REVISION) {
    throw new NebulaError("invalid_argument", `revision ${revision} of ${kind} ${name}: the store takes at most ${MAX_REVISION}`);
  }
}

/** The epoch after a restore: above the stored one, and the seconds since 1970 at least. */
export function raisedEpoch(stored: bigint, nowMs: number): bigint {
  const seconds = BigInt(Math.floor(nowMs / 1000));
  return stored + 1n > seconds ? stored + 1n : seconds;
}

export type ReadOptions = Readonly<{
  /** A revision that was announced, or read: a driver whose replicas may lag behind reads again, more strongly, what is below it. */
  atLeast?: bigint | undefined;
  signal?: AbortSignal | undefined;
}>;

export type ReadManyOptions = Readonly<{
  /** As of ReadOptions, by name; of names that are absent here any revision serves. */
  atLeast?: ReadonlyMap<string, bigint> | undefined;
  signal?: AbortSignal | undefined;
}>;

/** Revisions of one name, newest first. */
export type HistoryPage = Readonly<{
  items: readonly StoredEntity[];
  /** `before` of the next page; undefined: this was the last one. */
  next: bigint | undefined;
}>;

/**
 * The truth: every entity at its newest revision, and the history of how it came there.
 * A method whose signal is aborted rejects with its reason and frees all that it holds; a write that was sent by then answers `unknown`. Without a signal the
 * driver's own limit applies. All methods reject with NebulaError `unavailable` when the backend cannot be reached or refuses its work; any other exception
 * is an error of the program, and passes unchanged.
 */
export interface ConfigStore extends AsyncDisposable {
  readonly records: Movable<EntityRecord>;
  /** The identity of the store as it was opened. */
  readonly cluster: ClusterIdentity;
  /** The identity that is stored now. Another than `cluster`: the store was restored or replaced, and nothing that was read before holds. */
  readCluster(signal?: AbortSignal): Promise<ClusterIdentity>;
  /** The newest revision of one name, tombstones included; undefined when the name was never used. */
  get(key: EntityKey, options?: ReadOptions): Promise<StoredEntity | undefined>;
  /** As get, for many names of one kind; names never used are absent in the map. */
  getMany(kind: EntityKind, names: readonly string[], options?: ReadManyOptions): Promise<ReadonlyMap<string, StoredEntity>>;
  /** The newest revisions alone, as cheap as the store allows; keys never used are 0n. In the order of the keys. */
  revisions(keys: readonly EntityKey[], signal?: AbortSignal): Promise<readonly bigint[]>;
  /** Writes an entity, its history row and its lookup rows in one, if `expected` is what is stored. `revision` has to be above `expected`. */
  write(write: EntityWrite, signal?: AbortSignal): Promise<WriteOutcome>;
  /** Entities that are not deleted, by name; `limit` 1 to 1000. A page of large ones ends before that, below 4 MiB of bodies. Rejects with `invalid_argument` if `after` is not the `next` of a page. */
  list(kind: EntityKind, page: PageRequest, signal?: AbortSignal): Promise<Page<StoredEntity>>;
  /**
   * Names of the kind that are not deleted, sorted; `after`: only later names. An empty page is the last one. No entity is read: a driver whose names are hints
   * may have one that was deleted a moment ago, or never made, among them.
   */
  names(kind: EntityKind, page: Readonly<{ after: string; limit: number }>, signal?: AbortSignal): Promise<readonly string[]>;
  /** Names of the kind that are not deleted and differ from this one in case alone, sorted, at most 10. */
  namesInOtherCase(key: EntityKey, signal?: AbortSignal): Promise<readonly string[]>;
  /** Names of the device_groups that name this app or cron_job and are not deleted, sorted. */
  groupsNaming(kind: "app" | "cron_job", name: string, signal?: AbortSignal): Promise<readonly string[]>;
  /**
   * The kept revisions of one name (at least the newest 1000, as long as they are 16 MiB at most), newest first; `before`: only older ones. A page of large
   * ones ends before `limit`, below 4 MiB of bodies.
   */
  history(key: EntityKey, page: { before?: bigint; limit: number }, signal?: AbortSignal): Promise<HistoryPage>;
  /**
   * Puts in place of the body of every entity, tombstone and kept revision what `rewrite` answers for it (undefined: it stays); nothing else of them changes.
   * For the time no other process may have the store. `rewrite` is asked about all before anything is replaced for good: what it throws is passed on, and then all is as it was.
   * After a crash in the middle some may be replaced: it is called again then, so `rewrite` has to know its own work. Afterwards the store's files hold nothing
   * of what was replaced. Answers how many bodies were replaced.
   */
  rewriteBodies(rewrite: (stored: StoredEntity) => Uint8Array | undefined): Promise<number>;
  /** After a restore from a backup: sets the epoch to the larger of epoch + 1 and the seconds since 1970, and answers the identity. */
  raiseEpoch(nowMs: number): Promise<ClusterIdentity>;
  /** Marks for this time that a component runs on the store; 0 removes the mark. A store in files keeps none: its folder is locked. */
  markRunning(mark: RunningMark, seconds: number, signal?: AbortSignal): Promise<void>;
  /** The components whose marks have not ended, sorted. */
  runningComponents(signal?: AbortSignal): Promise<readonly string[]>;
  /** As the target of a move: gives the store this identity in place of its own. */
  becomeCluster(identity: ClusterIdentity): Promise<void>;
}

/** What an operator describes. The names are those of the API and of v2. */
export type EntityKind = "app" | "cron_job" | "device_group";

export type EntityKey = Readonly<{ kind: EntityKind; name: string }>;

/** What made a revision. */
export type ChangeAction = "create" | "update" | "delete" | "start" | "stop" | "restart" | "prune";

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

/** What a device_group names: what the groups-by-member lookup is made of. */
export type GroupMembers = Readonly<{ apps: readonly string[]; cronJobs: readonly string[] }>;

export type EntityWrite = StoredEntity &
  Readonly<{
    /** The revision that has to be stored now; 0n: the name was never used. */
    expected: bigint;
    /** Of a device_group: its members (none for a tombstone). */
    members?: GroupMembers;
  }>;

/** `conflict` carries the revision that is stored in place of the expected one. */
export type WriteOutcome = Readonly<{ kind: "written" } | { kind: "conflict"; revision: bigint }>;

export type ClusterIdentity = Readonly<{
  /** 128 random bits, 32 hexadecimal digits, made when the store was first created. */
  id: string;
  /** 1 at first; only a restore from a backup raises it. */
  epoch: bigint;
}>;

export type Page<T> = Readonly<{
  items: readonly T[];
  /** Where the next page goes on (opaque to callers); undefined: this was the last one. */
  next: string | undefined;
}>;

export type ReadOptions = Readonly<{
  /** A revision that was announced, or read: a driver whose replicas may lag behind reads again, more strongly, what is below it. */
  atLeast?: bigint | undefined;
}>;

/**
 * The truth: every entity at its newest revision, and the history of how it came there.
 * All methods reject with NebulaError `unavailable` when the store cannot be reached; a write whose outcome is not known says "outcome unknown".
 */
export interface ConfigStore extends AsyncDisposable {
  readonly cluster: ClusterIdentity;
  /** The newest revision of one name, tombstones included; undefined when the name was never used. */
  get(key: EntityKey, options?: ReadOptions): Promise<StoredEntity | undefined>;
  /** As get, for many names of one kind; names never used are absent in the map. */
  getMany(kind: EntityKind, names: readonly string[]): Promise<ReadonlyMap<string, StoredEntity>>;
  /** The newest revisions alone, as cheap as the store allows; keys never used are 0n. In the order of the keys. */
  revisions(keys: readonly EntityKey[]): Promise<readonly bigint[]>;
  /** Writes an entity, its history row and its lookup rows in one, if `expected` is what is stored. `revision` has to be above `expected`. */
  write(write: EntityWrite): Promise<WriteOutcome>;
  /** Entities that are not deleted, by name; `limit` 1 to 1000. A page of large ones ends before that, below 4 MiB of bodies. Rejects with `invalid_argument` where `after` is no page's `next`. */
  list(kind: EntityKind, page: { after?: string; limit: number }): Promise<Page<StoredEntity>>;
  /** Names of the kind that are not deleted and differ from this one in case alone, sorted, at most 10. */
  namesInOtherCase(key: EntityKey): Promise<readonly string[]>;
  /** Names of the device_groups that name this app or cron_job and are not deleted, sorted. */
  groupsNaming(kind: "app" | "cron_job", name: string): Promise<readonly string[]>;
  /** Every kept revision of one name (at least the newest 1000), newest first; `before`: only older ones. */
  history(key: EntityKey, page: { before?: bigint; limit: number }): Promise<readonly StoredEntity[]>;
  /**
   * Puts in place of the body of every entity, tombstone and kept revision what `rewrite` answers for it (undefined: it stays); nothing else of them changes.
   * For the time no other process may have the store. `rewrite` is asked about all before anything is replaced for good: what it throws is passed on, and then all is as it was.
   * After a crash in the middle some may be replaced: it is called again then, so `rewrite` has to know its own work. Afterwards the store's files hold nothing
   * of what was replaced. Answers how many bodies were replaced.
   */
  rewriteBodies(rewrite: (stored: StoredEntity) => Uint8Array | undefined): Promise<number>;
  /** After a restore from a backup: sets the epoch to the larger of epoch + 1 and the seconds since 1970, and answers the identity. */
  raiseEpoch(nowMs: number): Promise<ClusterIdentity>;
}

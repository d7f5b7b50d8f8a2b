import type { EntityKey } from "./config-store.ts";

/** An encoded config with what it was made from. */
export type CachedConfig = Readonly<{
  /** The encoded WatchConfigResponse that carries the config: the bytes that every stream of the group gets. */
  bytes: Uint8Array;
  etag: string;
  /** Every entity that it was made from, the group itself included, with the revision read. */
  madeFrom: readonly Readonly<EntityKey & { revision: bigint }>[];
  /** On how many shards the group is spread. Absent: 1. */
  spread?: number;
}>;

/**
 * Encoded configs by device_group, with a time to live: a hint, never the truth. The bytes hold secret values as they are: a driver that takes them out of this
 * process seals them first, and believes only what opens (AES-256-GCM under a key of its own from the cluster key, bound to the group's name).
 */
export interface ConfigCache extends AsyncDisposable {
  /**
   * The cached config, unless it is older than its time to live or was invalidated. Never rejects: a cache that does not answer
   * within 100 ms yields undefined.
   */
  get(group: string): Promise<CachedConfig | undefined>;
  /** Offers a config, without waiting for it: it may be lost. */
  put(group: string, config: CachedConfig): void;
  /** Invalidates every config that was made from an older revision of the entity, also one that is put later. */
  invalidate(key: EntityKey, revision: bigint): void;
}

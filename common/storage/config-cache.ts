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
  /** The cached config, unless it is older than its time to live or than a revision that the cache was told of. */
  get(group: string): Promise<CachedConfig | undefined>;
  put(group: string, config: CachedConfig): Promise<void>;
  /** An entity reached a revision: no config made from an older one is answered any more. */
  told(key: EntityKey, revision: bigint): void;
}

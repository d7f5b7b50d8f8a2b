import type { Clock } from "../../clock/clock.ts";
import type { CachedConfig, ConfigCache } from "../config-cache.ts";
import { InvalidatedRevisions } from "../invalidated-revisions.ts";

export type MemoryConfigCacheOptions = {
  /** How long a config is answered after it was put, milliseconds. */
  ttlMs: number;
  clock: Clock;
  /** How many configs are kept at most; 10,000. */
  maxEntries?: number;
  /** How many bytes of encoded configs are kept at most; 64 MiB. */
  maxBytes?: number;
  /** Invalidated revisions that are kept one by one; 100,000. */
  maxInvalidated?: number;
};

/**
 * The config cache of one process.
 * M1: nothing older than its time to live (monotonic clock) is answered.
 * M2: nothing made from an entity below an invalidated revision is answered, also if it was invalidated long ago: neither what was put before nor what is put
 *     after. Of the invalidations that M3 evicts, the highest revision counts for every entity from then on: that costs misses, never an old config.
 * M3: at most `maxEntries` configs of `maxBytes` together, and `maxInvalidated` revisions; the oldest are evicted first.
 */
export function createMemoryConfigCache({
  ttlMs,
  clock,
  maxEntries = 10_000,
  maxBytes = 64 * 1024 * 1024,
  maxInvalidated,
}: MemoryConfigCacheOptions): ConfigCache {
  const configs = new Map<string, { config: CachedConfig; until: number }>();
  const invalidated = new InvalidatedRevisions(maxInvalidated);
  let bytes = 0;

  const drop = (group: string) => {
    bytes -= configs.get(group)?.config.bytes.byteLength ?? 0;
    configs.delete(group);
  };

  return {
    async get(group) {
      const cached = configs.get(group);
      if (cached === undefined) return undefined;
      if (cached.until > clock.monotonic() && !invalidated.isOutdated(cached.config)) return cached.config; // M1, M2
      drop(group);
      return undefined;
    },
    put(group, config) {
      if (invalidated.isOutdated(config)) return; // M2
      drop(group);
      configs.set(group, { config, until: clock.monotonic() + ttlMs });
      bytes += config.bytes.byteLength;
      for (const oldest of configs.keys()) {
        if (configs.size <= maxEntries && bytes <= maxBytes) break;
        drop(oldest); // M3
      }
    },
    invalidate: (key, revision) => invalidated.raise(key, revision), // M3
    async [Symbol.asyncDispose]() {
      configs.clear();
      bytes = 0;
    },
  };
}

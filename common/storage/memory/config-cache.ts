import type { Clock } from "../../clock/clock.ts";
import type { CachedConfig, ConfigCache } from "../config-cache.ts";
import type { EntityKey } from "../config-store.ts";

export type MemoryConfigCacheOptions = {
  /** How long a config is answered after it was put, milliseconds. */
  ttlMs: number;
  clock: Clock;
  /** How many configs are kept at most; 10,000. */
  maxEntries?: number;
  /** How many bytes of encoded configs are kept at most; 64 MiB. */
  maxBytes?: number;
  /** How many told revisions are remembered one by one; 100,000. */
  maxTold?: number;
};

/**
 * The config cache of one process.
 * M1: nothing older than its time to live (monotonic clock) is answered.
 * M2: nothing made from an entity below a revision that was told is answered, however long ago it was told: neither what was put before nor what is put after.
 *     Of the tellings that M3 forgets, the highest revision counts for every entity from then on: that costs misses, never an old config.
 * M3: at most `maxEntries` configs of `maxBytes` together, and `maxTold` told revisions; the oldest go first.
 */
export function createMemoryConfigCache({
  ttlMs,
  clock,
  maxEntries = 10_000,
  maxBytes = 64 * 1024 * 1024,
  maxTold = 100_000,
}: MemoryConfigCacheOptions): ConfigCache {
  const configs = new Map<string, { config: CachedConfig; until: number }>();
  const told = new Map<string, bigint>();
  let bytes = 0;
  let highestForgotten = 0n;

  const isOutdated = (config: CachedConfig) =>
    config.madeFrom.some((entity) => entity.revision < highestForgotten || entity.revision < (told.get(keyOf(entity)) ?? 0n)); // M2

  const drop = (group: string) => {
    bytes -= configs.get(group)?.config.bytes.byteLength ?? 0;
    configs.delete(group);
  };

  return {
    async get(group) {
      const cached = configs.get(group);
      if (cached === undefined) return undefined;
      if (cached.until > clock.monotonic() && !isOutdated(cached.config)) return cached.config; // M1, M2
      drop(group);
      return undefined;
    },
    async put(group, config) {
      if (isOutdated(config)) return; // M2
      drop(group);
      configs.set(group, { config, until: clock.monotonic() + ttlMs });
      bytes += config.bytes.byteLength;
      for (const oldest of configs.keys()) {
        if (configs.size <= maxEntries && bytes <= maxBytes) break;
        drop(oldest); // M3
      }
    },
    told(key, revision) {
      const id = keyOf(key);
      const known = told.get(id) ?? 0n;
      told.delete(id); // to the end, as the newest
      told.set(id, known > revision ? known : revision);
      for (const [oldest, forgotten] of told) {
        if (told.size <= maxTold) break;
        told.delete(oldest); // M3
        if (forgotten > highestForgotten) highestForgotten = forgotten;
      }
    },
    async [Symbol.asyncDispose]() {
      configs.clear();
      bytes = 0;
      told.clear();
    },
  };
}

function keyOf({ kind, name }: EntityKey): string {
  return `${kind}/${name}`;
}

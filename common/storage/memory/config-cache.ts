import type { Clock } from "../../clock/clock.ts";
import type { CachedConfig, ConfigCache } from "../config-cache.ts";
import type { EntityKey } from "../config-store.ts";

/**
 * The config cache of one process.
 * M1: nothing older than its time to live (monotonic clock) is answered.
 * M2: nothing made from an entity below a revision that was told is answered, nor kept when it is put after the telling. Told revisions are kept for one time
 *     to live: a config that was loaded before the telling and is put later than that would be too old to be answered anyway (its loading takes far less).
 * M3: at most `maxEntries` configs and ten times as many told revisions; the oldest go first.
 */
export function createMemoryConfigCache({ ttlMs, clock, maxEntries = 10_000 }: { ttlMs: number; clock: Clock; maxEntries?: number }): ConfigCache {
  const configs = new Map<string, { config: CachedConfig; until: number }>();
  const told = new Map<string, { revision: bigint; until: number }>();

  const isOutdated = (config: CachedConfig) =>
    config.madeFrom.some((entity) => {
      const known = told.get(keyOf(entity));
      return known !== undefined && known.revision > entity.revision;
    });

  return {
    async get(group) {
      const cached = configs.get(group);
      if (cached === undefined) return undefined;
      if (cached.until > clock.monotonic() && !isOutdated(cached.config)) return cached.config; // M1, M2
      configs.delete(group);
      return undefined;
    },
    async put(group, config) {
      if (isOutdated(config)) return; // M2
      configs.delete(group);
      configs.set(group, { config, until: clock.monotonic() + ttlMs });
      trim(configs, maxEntries); // M3
    },
    told(key, revision) {
      const now = clock.monotonic();
      const id = keyOf(key);
      const known = told.get(id);
      const highest = known !== undefined && known.revision > revision ? known.revision : revision;
      told.delete(id);
      told.set(id, { revision: highest, until: now + ttlMs });
      for (const [oldest, { until }] of told) {
        if (until > now) break; // in the order of their times
        told.delete(oldest);
      }
      if (told.size > 10 * maxEntries) {
        // what is forgotten early could let an old config through: so no config is kept either (M2 before M3)
        configs.clear();
        trim(told, 10 * maxEntries);
      }
    },
    async [Symbol.asyncDispose]() {
      configs.clear();
      told.clear();
    },
  };
}

function keyOf({ kind, name }: EntityKey): string {
  return `${kind}/${name}`;
}

/** Removes the oldest entries above `most`; a Map keeps the order of insertion. */
function trim(map: Map<string, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}

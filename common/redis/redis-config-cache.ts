import type { HintMetrics } from "../metrics/hint-metrics.ts";
import type { CachedConfig, ConfigCache } from "../storage/config-cache.ts";
import type { EntityKind } from "../storage/config-store.ts";
import { InvalidatedRevisions } from "../storage/invalidated-revisions.ts";
import { answerWithin, type Commands } from "./commands.ts";
import type { HintSeal } from "./hint-seal.ts";

/** How long a load waits for a cached config, milliseconds. */
const GET_MS = 100;
/** The largest config that is cached, sealed, bytes: who writes to Redis must not fill this process. */
const MOST_BYTES = 4 * 1024 * 1024;
/** Bytes of configs on their way to Redis; what would be more is lost. */
const MOST_BYTES_IN_FLIGHT = 16 * 1024 * 1024;

export type RedisConfigCacheOptions = Readonly<{ commands: Commands; seal: HintSeal; ttlMs: number; metrics: HintMetrics }>;

/**
 * Configs in Redis, one key for each group, each sealed for its group. The invalidations of this process count, whichever
 * shard put a config there.
 */
export function createRedisConfigCache({ commands, seal, ttlMs, metrics }: RedisConfigCacheOptions): ConfigCache {
  const invalidated = new InvalidatedRevisions();
  let bytesInFlight = 0;
  const keyOf = (group: string) => `${seal.prefix}config:${group}`;

  async function read(group: string): Promise<CachedConfig | "miss" | "failed"> {
    const asked = commands.run((client) => client.getrangeBuffer(keyOf(group), 0, MOST_BYTES));
    const stored = await answerWithin(asked, GET_MS);
    if (stored === undefined) return "failed";
    if (stored.length === 0) return "miss";
    const opened = seal.open(`config/${group}`, stored);
    const config = opened === undefined ? undefined : decode(opened.payload);
    if (config === undefined) metrics.rejected("config");
    return config === undefined || invalidated.isOutdated(config) ? "miss" : config;
  }

  return {
    async get(group) {
      const found = await read(group);
      const result = typeof found === "string" ? found : "hit";
      metrics.cacheRead(result);
      if (result === "failed") metrics.lost("get");
      return typeof found === "string" ? undefined : found;
    },
    put(group, config) {
      const bytes = config.bytes.length;
      if (invalidated.isOutdated(config) || bytes > MOST_BYTES / 2) return;
      if (bytesInFlight + bytes > MOST_BYTES_IN_FLIGHT) {
        metrics.lost("put");
        return;
      }
      const sealed = seal.seal(`config/${group}`, encode(config));
      if (sealed.length > MOST_BYTES) return;
      bytesInFlight += bytes;
      commands
        .run((client) => client.set(keyOf(group), sealed, "PX", ttlMs))
        .catch(() => metrics.lost("put"))
        .finally(() => {
          bytesInFlight -= bytes;
        });
    },
    invalidate: (key, revision) => invalidated.raise(key, revision),
    async [Symbol.asyncDispose]() {},
  };
}

type Header = Readonly<{ etag: string; spread: number | undefined; madeFrom: readonly (readonly [EntityKind, string, string])[] }>;

/** The length of a header of JSON (4 bytes), the header, and the config's own bytes. */
function encode({ bytes, etag, spread, madeFrom }: CachedConfig): Buffer {
  const header: Header = { etag, spread, madeFrom: madeFrom.map(({ kind, name, revision }) => [kind, name, String(revision)]) };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, bytes]);
}

/** undefined: another version wrote it in another form. */
function decode(payload: Buffer): CachedConfig | undefined {
  try {
    const end = 4 + payload.readUInt32BE(0);
    const { etag, spread, madeFrom }: Header = JSON.parse(payload.toString("utf8", 4, end));
    return {
      bytes: Uint8Array.from(payload.subarray(end)),
      etag,
      madeFrom: madeFrom.map(([kind, name, revision]) => ({ kind, name, revision: BigInt(revision) })),
      ...(spread === undefined ? {} : { spread }),
    };
  } catch {
    return undefined;
  }
}

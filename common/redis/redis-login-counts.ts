import { createHmac } from "node:crypto";
import type { LoginCounts, SharedCount } from "../access/login-counts.ts";
import type { HintMetrics } from "../metrics/hint-metrics.ts";
import { answerWithin, type Commands } from "./commands.ts";

const READ_MS = 100;
/** After the last failure, milliseconds. */
const FORGOTTEN_MS = 10 * 60_000;
/** No count is believed to be higher: who writes to Redis gains nothing from more. */
const MOST_FAILURES = 1000;

export type RedisLoginCountsOptions = Readonly<{ commands: Commands; prefix: string; clusterKey: string; metrics: HintMetrics }>;

/** A number for each key, with an expiry. Keys are HMACs: Redis learns neither addresses nor names of users. */
export function createRedisLoginCounts({ commands, prefix, clusterKey, metrics }: RedisLoginCountsOptions): LoginCounts {
  const nameOf = (key: string) => `${prefix}login:${createHmac("sha256", clusterKey).update(`nebula login count 1 ${key}`).digest("base64url")}`;

  function read(key: string): Promise<SharedCount> {
    const name = nameOf(key);
    return commands.run(async (client) => {
      const [text, leftMs] = await Promise.all([client.getrange(name, 0, 20), client.pttl(name)]);
      if (text !== "" && leftMs < 0) client.pexpire(name, FORGOTTEN_MS).catch(() => {}); // its shard died before it set one
      const failures = Number(text);
      if (!Number.isSafeInteger(failures) || failures < 0) metrics.rejected("login");
      const isCount = Number.isSafeInteger(failures) && failures > 0;
      return { failures: isCount ? Math.min(failures, MOST_FAILURES) : 0, agoMs: Math.max(0, FORGOTTEN_MS - Math.max(0, leftMs)) };
    });
  }

  return {
    async read(keys) {
      const counts = await answerWithin(Promise.all(keys.map(read)), READ_MS);
      if (counts === undefined) metrics.lost("get");
      return counts;
    },
    add(keys) {
      for (const key of keys) {
        const name = nameOf(key);
        commands.run((client) => Promise.all([client.incr(name), client.pexpire(name, FORGOTTEN_MS)])).catch(() => metrics.lost("put"));
      }
    },
    clear(key) {
      commands.run((client) => client.del(nameOf(key))).catch(() => metrics.lost("put"));
    },
    async [Symbol.asyncDispose]() {},
  };
}

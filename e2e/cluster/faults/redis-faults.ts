import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { eventually } from "../../../common/testing/eventually.ts";
import type { ClusterStage } from "../cluster-stage.ts";
import type { Fault } from "./fault.ts";

const FLAP_MS = 4000;

/** A client of somebody who has the address of Redis, and no key of the cluster. */
function client(stage: ClusterStage): Redis {
  const redis = new Redis(stage.cluster.backends.redis, { retryStrategy: () => 200 });
  redis.on("error", () => {}); // it may be a stopped one
  return redis;
}

const rejected = (stage: ClusterStage) => stage.metric(stage.cluster.shards, "nebula_hints_rejected_total");
const gaps = (stage: ClusterStage) => stage.metric(stage.cluster.shards, "nebula_feed_gaps_total");

export const REDIS_FAULTS: readonly Fault[] = [
  {
    title: "Redis was emptied",
    everyRun: true,
    async run(stage) {
      const redis = client(stage);
      try {
        await eventually(async () => (await redis.dbsize()) > 0);
        await redis.flushall();
        await eventually(async () => (await redis.dbsize()) > 0, { timeoutMs: 30_000 });
      } finally {
        redis.disconnect();
      }
    },
  },
  {
    title: "Redis was stopped, and started again without its data",
    everyRun: true,
    async run(stage, outageMs) {
      await stage.rises(
        "gaps of the feed",
        () => gaps(stage),
        async () => {
          await stage.container("redis").kill();
          await delay(outageMs);
          await stage.container("redis").startAgain();
        },
        stage.cluster.shards.length,
      );
    },
  },
  {
    title: "Redis was unreachable for every other 4 seconds",
    everyRun: true,
    async run(stage, outageMs) {
      const turns = Math.ceil(outageMs / FLAP_MS);
      await stage.rises(
        "gaps of the feed",
        () => gaps(stage),
        async () => {
          for (let turn = 0; turn < turns; turn++) {
            await stage.eachRedis((proxy) => proxy.set("refuse"));
            await delay(FLAP_MS);
            await stage.eachRedis((proxy) => proxy.set(undefined));
            await delay(FLAP_MS);
          }
        },
        stage.cluster.shards.length,
      );
    },
  },
  {
    title: "some of the shards were cut off from Redis",
    everyRun: true,
    async run(stage, outageMs) {
      const { shard } = await stage.busiestShard();
      const { redis } = shard.proxies;
      await stage.rises(
        "pieces that were held back",
        () => redis.struck["black hole"],
        async () => {
          await redis.set("black hole");
          await delay(outageMs);
          await redis.set(undefined);
        },
      );
    },
  },
  {
    title: "an attacker wrote to Redis: garbage, replays, a false lease, a revision of 2^60",
    everyRun: true,
    async run(stage, outageMs) {
      const [writes, listens] = [client(stage), client(stage)];
      try {
        await stage.rises(
          "rejected hints",
          () => rejected(stage),
          () => attack(writes, listens, outageMs),
          10,
        );
      } finally {
        writes.disconnect();
        listens.disconnect();
      }
      for (const shard of stage.cluster.shards) assert.equal(await shard.metric("nebula_members"), stage.cluster.shards.length);
    },
  },
  {
    title: "Redis was slow and half of its connections were lost without a word",
    everyRun: true,
    async run(stage, outageMs) {
      const struck = () => stage.cluster.shards.reduce((sum, { proxies }) => sum + proxies.redis.struck.delay, 0);
      await stage.rises("pieces that were late", struck, async () => {
        await stage.eachRedis((proxy) => proxy.set("delay"));
        await delay(outageMs / 2);
        await stage.eachRedis((proxy) => proxy.set(undefined));
        await stage.eachRedis(async ({ connections }) => {
          for (const [index, connection] of connections.entries()) if (index % 2 === 0) connection.set("half-open");
        });
        await delay(outageMs / 2);
      });
    },
  },
];

/** Writes to everything that it finds, again and again, for this long. */
async function attack(writes: Redis, listens: Redis, forMs: number): Promise<void> {
  const heard: { channel: string; message: Buffer }[] = [];
  listens.on("pmessageBuffer", (_pattern: string, channel: Buffer, message: Buffer) => heard.push({ channel: channel.toString(), message }));
  await listens.psubscribe("*");
  const huge = Buffer.from(JSON.stringify({ kind: "app", name: "everywhere", revision: String(2n ** 60n) }));
  for (const end = performance.now() + forMs; performance.now() < end; await delay(300)) {
    for (const key of await writes.keys("*")) {
      const type = await writes.type(key);
      if (type === "string") {
        const copy = await writes.getBuffer(key);
        await writes.set(key, huge, "KEEPTTL");
        await writes.set(`${key}-copy`, copy ?? huge, "PX", 5000);
      } else if (type === "hash") {
        const fields = await writes.hgetallBuffer(key);
        const [some] = Object.values(fields);
        await writes.hset(key, "shard-false", some ?? huge, "shard-garbage", huge);
      }
    }
    for (const { channel, message } of heard.splice(0, heard.length).slice(-20)) {
      await writes.publish(channel, message); // it hears its own replays as well
      await writes.publish(channel, huge);
    }
  }
  await writes.flushall();
}

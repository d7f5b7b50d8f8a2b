import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { systemClock } from "../clock/system-clock.ts";
import { describeChangeFeed } from "../feed/change-feed-contract.ts";
import { describeMembership } from "../membership/membership-contract.ts";
import { describeSharedMembership } from "../membership/shared-membership-contract.ts";
import { describeConfigCache } from "../storage/contracts/config-cache-contract.ts";
import { fastClock } from "../testing/fast-clock.ts";
import { redisUrl, requireStoppableServer } from "../testing/servers.ts";
import type { TestContainer } from "../testing/test-container.ts";
import { TestRedis } from "../testing/test-redis.ts";

describe("on a real Redis", () => {
  let container: TestContainer;
  let url = "";
  /** A client of somebody else. */
  let other: Redis;
  before(async function () {
    const server = await requireStoppableServer(this, "redis");
    container = server.container;
    url = redisUrl(server);
    other = new Redis(url);
  });
  after(() => other?.disconnect());

  describeConfigCache("redis", async () => {
    const redis = new TestRedis(url);
    const ttlMs = 1500;
    const cache = (await redis.open()).configCache(ttlMs);
    const close = async () => {
      await cache[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    };
    return { cache: { ...cache, [Symbol.asyncDispose]: close }, ttlMs, clock: systemClock, pass: (ms) => delay(ms) };
  });

  describeChangeFeed("redis", async () => {
    const redis = new TestRedis(url);
    const [publisher, subscriber] = await Promise.all([redis.open(), redis.open()].map(async (opened) => (await opened).changeFeed()));
    if (publisher === undefined || subscriber === undefined) throw new Error("two were opened");
    const close = async () => {
      await subscriber[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    };
    return {
      publisher,
      subscriber: { ...subscriber, [Symbol.asyncDispose]: close },
      async breakSubscription() {
        await other.call("CLIENT", "KILL", "TYPE", "pubsub");
      },
    };
  });

  const clock = fastClock(8);
  describeMembership("redis", async () => {
    const redis = new TestRedis(url, clock);
    const membership = (await redis.open()).membership();
    const close = membership[Symbol.asyncDispose].bind(membership);
    membership[Symbol.asyncDispose] = async () => {
      await close();
      await redis[Symbol.asyncDispose]();
    };
    return membership;
  });

  describeSharedMembership("redis", async () => {
    const redis = new TestRedis(url, clock);
    return {
      clock,
      open: async () => (await redis.open()).membership(),
      stop: () => container.pause(),
      start: () => container.unpause(),
      [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
    };
  });
});

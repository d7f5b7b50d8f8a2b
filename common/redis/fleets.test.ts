import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { systemClock } from "../clock/system-clock.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import type { FeedEvent } from "../feed/change-feed.ts";
import { describeChangeFeed } from "../feed/change-feed-contract.ts";
import { describeMembership } from "../membership/membership-contract.ts";
import { describeConfigCache } from "../storage/contracts/config-cache-contract.ts";
import { eventually } from "../testing/eventually.ts";
import { fastClock } from "../testing/fast-clock.ts";
import { type RedisFleet, startRedisCluster, startSentinels, startTlsRedis } from "../testing/redis-fleets.ts";
import { requireDocker } from "../testing/require-docker.ts";
import { TestAuthority } from "../testing/test-authority.ts";
import { TestRedis } from "../testing/test-redis.ts";

/** Each contract on Redis as `start` runs it. `open` yields one Nebula on it. */
function describeContracts(
  name: string,
  open: (clock?: ReturnType<typeof fastClock>) => TestRedis,
  breakSubscriptions: () => Promise<unknown>,
): void {
  describeConfigCache(name, async () => {
    const redis = open();
    const cache = (await redis.open()).configCache(1500);
    return {
      cache: { ...cache, [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose]() },
      ttlMs: 1500,
      clock: systemClock,
      pass: (ms) => delay(ms),
    };
  });

  describeChangeFeed(name, async () => {
    const redis = open();
    const [publisher, subscriber] = [await (await redis.open()).changeFeed(), await (await redis.open()).changeFeed()];
    const close = async () => {
      await subscriber[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    };
    return {
      publisher,
      subscriber: { ...subscriber, [Symbol.asyncDispose]: close },
      breakSubscription: async () => void (await breakSubscriptions()),
    };
  });

  describeMembership(name, async () => {
    const redis = open(fastClock(4));
    const membership = (await redis.open()).membership();
    const close = membership[Symbol.asyncDispose].bind(membership);
    membership[Symbol.asyncDispose] = async () => {
      await close();
      await redis[Symbol.asyncDispose]();
    };
    return membership;
  });
}

/**
 * Two shards on a fleet that lose a server of it: announcements arrive again, the cache answers again, and nobody lost
 * a member.
 */
async function survives(redis: TestRedis, lose: () => Promise<unknown>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  stack.use(redis);
  const [one, other] = [await redis.open(), await redis.open()];
  const [publisher, subscriber] = [stack.use(await one.changeFeed()), stack.use(await other.changeFeed())];
  const cache = one.configCache(600_000);
  const memberships = [stack.use(one.membership()), stack.use(other.membership())];
  await Promise.all(
    memberships.map((membership, index) => membership.join({ name: `shard-${index}`, address: `shard-${index}:1`, boot: `boot-${index}` })),
  );
  const names = () => memberships.map((membership) => membership.members().map(({ name }) => name));
  const both = [
    ["shard-0", "shard-1"],
    ["shard-0", "shard-1"],
  ];
  await eventually(() => assert.deepEqual(names(), both));
  const events: FeedEvent[] = [];
  subscriber.subscribe((event) => events.push(event));
  await lose();
  let revision = 0n;
  const arrives = () => {
    publisher.publish({ kind: "entity", entity: { kind: "app", name: "web" }, revision: ++revision });
    return events.some((event) => event.kind === "entity" && event.revision >= revision - 3n && event.revision > 10n);
  };
  await eventually(arrives, { timeoutMs: 60_000, everyMs: 200 });
  const groups = Array.from({ length: 20 }, (_, index) => `group-${index}`); // on each node of a cluster
  await eventually(
    async () => {
      for (const group of groups) cache.put(group, { bytes: Uint8Array.from([1]), etag: group, madeFrom: [] });
      for (const group of groups) assert.equal((await cache.get(group))?.etag, group);
    },
    { timeoutMs: 60_000, everyMs: 200 },
  );
  await eventually(() => memberships.every(({ reachable }) => reachable));
  assert.deepEqual(names(), both);
}

// Each of these starts several servers: that is for the long run.
if (process.env.NEBULA_TEST_LONG === "1") {
  describe("on Redis behind sentinels", function () {
    this.timeout(150_000);
    let fleet: RedisFleet;
    let master: Redis;
    before(async function () {
      await requireDocker(this);
      fleet = await startSentinels();
      master = new Redis(`redis://127.0.0.1:${fleet.ports[0]}`, { retryStrategy: () => 500 });
      master.on("error", () => {});
      const sentinel = new Redis(`redis://127.0.0.1:${fleet.ports.at(-1)}`);
      await eventually(async () => assert.match(String(await sentinel.call("INFO", "sentinel")), /status=ok,.*slaves=1,sentinels=3/), {
        timeoutMs: 60_000,
      });
      sentinel.disconnect();
    });
    after(async () => {
      master?.disconnect();
      await fleet?.container[Symbol.asyncDispose]();
    });

    describeContracts(
      "redis-sentinel",
      (clock) => new TestRedis(fleet.url, clock),
      () => master.call("CLIENT", "KILL", "TYPE", "pubsub"),
    );

    describe("that loses a server", () => {
      it("drivers behind sentinels that lose a server follow the sentinels to another master", async () => {
        await survives(new TestRedis(fleet.url), async () => {
          master.shutdown("NOSAVE").catch(() => {}); // it answers nothing
          await eventually(() => master.status !== "ready");
        });
      });
    });
  });

  describe("on a Redis Cluster", function () {
    this.timeout(150_000);
    let fleet: RedisFleet;
    const nodes: Redis[] = [];
    before(async function () {
      await requireDocker(this);
      fleet = await startRedisCluster();
      for (const port of fleet.ports) nodes.push(new Redis(`redis://127.0.0.1:${port}`, { retryStrategy: () => 500 }));
      for (const node of nodes) {
        node.on("error", () => {});
        await eventually(async () => assert.match(String(await node.cluster("INFO")), /cluster_state:ok(?:\r|\n|.)*cluster_known_nodes:6/), {
          timeoutMs: 60_000,
        });
      }
    });
    after(async () => {
      for (const node of nodes) node.disconnect();
      await fleet?.container[Symbol.asyncDispose]();
    });

    describeContracts(
      "redis-cluster",
      (clock) => new TestRedis(fleet.url, clock),
      () => Promise.all(nodes.map((node) => node.call("CLIENT", "KILL", "TYPE", "pubsub"))),
    );

    describe("that loses a server", () => {
      it("drivers on a Redis Cluster that loses a node continue when its replica has taken over", async () => {
        await survives(new TestRedis(fleet.url), async () => {
          const [first] = nodes;
          first?.shutdown("NOSAVE").catch(() => {}); // it answers nothing
          await eventually(() => first?.status !== "ready");
        });
      });
    });
  });

  describe("on Redis over TLS, with a password", function () {
    this.timeout(150_000);
    const password = "a password of a test";
    let authority: TestAuthority;
    let fleet: RedisFleet;
    let other: Redis;
    const login = () => ({ password, ca: authority.caFile });
    before(async function () {
      await requireDocker(this);
      authority = await TestAuthority.make();
      fleet = await startTlsRedis(authority, password);
      other = new Redis(fleet.url, { password, tls: { ca: authority.ca } });
    });
    after(async () => {
      other?.disconnect();
      await fleet?.container[Symbol.asyncDispose]();
      await authority?.[Symbol.asyncDispose]();
    });

    describeContracts(
      "rediss",
      (clock) => new TestRedis(fleet.url, clock, login()),
      () => other.call("CLIENT", "KILL", "TYPE", "pubsub"),
    );

    it("a wrong password of Redis, or none, ends the start with a message", async () => {
      for (const wrong of ["another password", undefined]) {
        await assert.rejects(new TestRedis(fleet.url, systemClock, { ...login(), password: wrong }).open(), (error) => {
          return (
            isNebulaError(error, "failed_precondition") && /NEBULA_REDIS_PASSWORD/.test(error.message) && !error.message.includes("another password")
          );
        });
      }
    });

    it("drivers over TLS use no server whose certificate is not of the given authorities", async () => {
      await using redis = new TestRedis(fleet.url, systemClock, { password, ca: undefined });
      const cache = (await redis.open()).configCache(10_000);
      cache.put("shops", { bytes: Uint8Array.from([1]), etag: "e", madeFrom: [] });
      assert.equal(await cache.get("shops"), undefined);
      assert.ok((await redis.counted("nebula_hints_lost_total", "put")) >= 1);
    });
  });
}

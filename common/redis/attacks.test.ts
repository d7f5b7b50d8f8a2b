import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { ManualClock } from "../clock/manual-clock.ts";
import type { Announcement, FeedEvent } from "../feed/change-feed.ts";
import type { Member, Membership } from "../membership/membership.ts";
import type { CachedConfig } from "../storage/config-cache.ts";
import { eventually } from "../testing/eventually.ts";
import { redisUrl, requireServer } from "../testing/servers.ts";
import { TEST_CLUSTER, TestRedis } from "../testing/test-redis.ts";
import { HintSeal } from "./hint-seal.ts";

const config = (revision: bigint): CachedConfig => ({
  bytes: Buffer.from(`config ${revision}`),
  etag: `etag-${revision}`,
  madeFrom: [{ kind: "app", name: "web", revision }],
});
const changed = (revision: bigint): Announcement => ({ kind: "entity", entity: { kind: "app", name: "web" }, revision });
const member = (name: string): Member => ({ name, address: `${name}:1`, boot: randomBytes(6).toString("hex") });
const names = (membership: Membership) => membership.members().map(({ name }) => name);

describe("somebody who can write to Redis", function () {
  this.timeout(60_000);
  let url = "";
  let attacker: Redis;
  before(async function () {
    url = redisUrl(await requireServer(this, "redis"));
    attacker = new Redis(url);
  });
  after(() => attacker?.disconnect());

  /** Seals as an attacker can: everything, under a key that is not the cluster's. */
  const forged = (purpose: string, payload: unknown) =>
    new HintSeal("not the cluster key", TEST_CLUSTER).seal(purpose, Buffer.from(JSON.stringify(payload)));

  it("an attacker with access to Redis announces nothing: garbage, forgeries, repeats and announcements of an epoch before are counted and ignored", async () => {
    await using redis = new TestRedis(url);
    const [one, other, before] = [await redis.open(), await redis.open(), await redis.open({ cluster: { ...TEST_CLUSTER, epoch: 0n } })];
    const [publisher, subscriber, restored] = [await one.changeFeed(), await other.changeFeed(), await before.changeFeed()];
    const events: FeedEvent[] = [];
    subscriber.subscribe((event) => events.push(event));
    using _following = await subscriber.followStatus("shops");
    const { prefix } = new HintSeal(redis.clusterKey, TEST_CLUSTER);
    const recorder = new Redis(url);
    const recorded: Buffer[] = [];
    recorder.on("messageBuffer", (_channel: Buffer, message: Buffer) => recorded.push(message));
    await recorder.subscribe(`${prefix}feed`);
    publisher.publish(changed(1n));
    restored.publish(changed(1n << 60n));
    await eventually(() => recorded.length === 2 && events.length === 1);

    const attack = [
      randomBytes(100),
      Buffer.alloc(0),
      Buffer.from(JSON.stringify(["entity", "app", "web", String(1n << 60n)])),
      forged("feed", ["entity", "app", "web", String(1n << 60n)]),
      ...recorded,
    ];
    for (const message of attack) await attacker.publish(`${prefix}feed`, message);
    for (const message of attack) await attacker.publish(`${prefix}status:shops`, message);
    publisher.publish(changed(2n));
    await eventually(() => events.length >= 2);
    assert.deepEqual(events, [changed(1n), changed(2n)]);
    assert.ok((await redis.counted("nebula_hints_rejected_total", "event")) >= attack.length * 2, "each repeat and each forgery is counted");
    recorder.disconnect();
    for (const feed of [publisher, subscriber, restored]) await feed[Symbol.asyncDispose]();
  });

  it("statuses of the cluster that cannot be read are announced without what changed, so that the group is read again", async () => {
    await using redis = new TestRedis(url);
    const feed = await (await redis.open()).changeFeed();
    const events: FeedEvent[] = [];
    feed.subscribe((event) => events.push(event));
    using _following = await feed.followStatus("shops");
    const seal = new HintSeal(redis.clusterKey, TEST_CLUSTER);
    await attacker.publish(`${seal.prefix}status:shops`, seal.seal("status/shops", Buffer.from([255])));
    await eventually(() => events.length === 1);
    assert.deepEqual(events, [{ kind: "status", deviceGroup: "shops", news: undefined }]);
    await feed[Symbol.asyncDispose]();
  });

  it("an attacker with access to Redis cannot have a config answered that was not cached for that group, in this cluster and epoch", async () => {
    await using redis = new TestRedis(url);
    const metered = (await redis.open()).configCache(60_000);
    const before = (await redis.open({ cluster: { ...TEST_CLUSTER, epoch: 0n } })).configCache(60_000);
    const { prefix } = new HintSeal(redis.clusterKey, TEST_CLUSTER);
    const key = (group: string) => `${prefix}config:${group}`;
    metered.put("shops", config(1n));
    before.put("restored", config(9n));
    await eventually(async () => assert.equal(await attacker.exists(key("shops"), key("restored")), 2));
    const sealed = await attacker.getBuffer(key("shops"));
    assert.ok(sealed !== null && !sealed.includes("config 1"), "what is stored is encrypted");

    await attacker.set(key("pos"), sealed);
    await attacker.set(key("garbage"), randomBytes(500));
    await attacker.set(key("forged"), forged("config/forged", {}));
    await attacker.lpush(key("a-list"), "x");
    await attacker.set(key("huge"), Buffer.alloc(32 * 1024 * 1024, 1));
    for (const group of ["pos", "garbage", "forged", "a-list", "huge", "restored"]) assert.equal(await metered.get(group), undefined, group);
    assert.ok((await redis.counted("nebula_hints_rejected_total", "config")) >= 4);
    await attacker.del(key("huge"));

    metered.put("shops", config(2n));
    await eventually(async () => assert.equal((await metered.get("shops"))?.etag, "etag-2"));
    await attacker.set(key("shops"), sealed);
    // a repeat is answered, until this process knows better
    await eventually(async () => assert.equal((await metered.get("shops"))?.etag, "etag-1"));
    metered.invalidate({ kind: "app", name: "web" }, 2n);
    assert.equal(await metered.get("shops"), undefined);
  });

  it("an attacker with access to Redis makes no member, drops none, and ends no shard: garbage, forgeries, moved and recorded leases, and a flood", async () => {
    const clock = new ManualClock();
    /** Time that passes no faster than Redis answers: on a slow machine a renewal takes no longer by this clock. */
    const pass = async (ms: number) => {
      for (let left = ms; left > 0; left -= 100) {
        await attacker.ping();
        await clock.advance(100);
      }
    };
    const passUntil = async (isDone: () => Promise<boolean> | boolean) => {
      while (!(await isDone())) await pass(100);
    };
    await using redis = new TestRedis(url, clock);
    const { prefix } = new HintSeal(redis.clusterKey, TEST_CLUSTER);
    const key = `${prefix}leases`;
    const open = async () => (await redis.open()).membership();
    await using a = await open();
    await using b = await open();
    const joined = Promise.all([a.join(member("a")), b.join(member("b"))]);
    await passUntil(() => names(a).join() === "a,b" && names(b).join() === "a,b");
    await joined;
    const changes: string[] = [];
    for (const membership of [a, b]) membership.onChange(() => changes.push(names(membership).join()));
    const recorded: Buffer[] = [];
    for (let round = 0; round < 40; round++) {
      const lease = await attacker.hgetBuffer(key, "a");
      if (lease !== null) recorded.push(lease);
      const replayed = recorded[Math.floor(recorded.length / 2)] ?? randomBytes(10);
      await attacker.hset(key, {
        c: replayed,
        d: randomBytes(150),
        e: forged("lease/e", { ...member("e"), count: round, state: "member", since: 0 }),
      });
      // At most every second renewal: who writes over each of a shard's leases hides that shard, as who deletes them does.
      if (round % 6 === 0) await attacker.hset(key, "a", replayed, "b", lease ?? "");
      await pass(1000);
    }
    assert.ok(recorded.length >= 40);
    const flood = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`flood-${i}`, "x"]));
    await attacker.hset(key, flood);
    await passUntil(async () => (await attacker.hlen(key)) < 10);
    await attacker.hset(key, "big", Buffer.alloc(8 * 1024 * 1024, 1));
    await passUntil(async () => (await attacker.hexists(key, "big")) === 0);
    await pass(15_000);
    assert.deepEqual(changes, []);
    assert.deepEqual([names(a), names(b), a.lost.aborted, b.lost.aborted], [["a", "b"], ["a", "b"], false, false]);
    assert.ok((await redis.counted("nebula_hints_rejected_total", "lease")) >= 40);
  });
});

import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { Redis } from "ioredis";
import { StatusChangeSchema } from "../../gen/nebula/v1/device_pb.ts";
import type { ChangeFeed, FeedEvent } from "../feed/change-feed.ts";
import { silentLog } from "../log/log.ts";
import type { CachedConfig, ConfigCache } from "../storage/config-cache.ts";
import { eventually } from "../testing/eventually.ts";
import { fastClock } from "../testing/fast-clock.ts";
import { redisUrl, requireStoppableServer } from "../testing/servers.ts";
import type { TestContainer } from "../testing/test-container.ts";
import { TestRedis } from "../testing/test-redis.ts";
import { HintSeal } from "./hint-seal.ts";
import { Subscription } from "./subscription.ts";

const config: CachedConfig = { bytes: Buffer.from("config"), etag: "etag", madeFrom: [] };

describe("Redis that fails while it is used", function () {
  this.timeout(90_000);
  let container: TestContainer;
  let redis: TestRedis;
  let cache: ConfigCache;
  let publisher: ChangeFeed;
  let subscriber: ChangeFeed;
  let events: FeedEvent[];
  before(async function () {
    ({ container } = await requireStoppableServer(this, "redis"));
  });
  beforeEach(async () => {
    redis = new TestRedis(redisUrl({ address: container.address }), fastClock(5));
    const [one, other] = [await redis.open(), await redis.open()];
    cache = one.configCache(600_000);
    [publisher, subscriber] = [await one.changeFeed(), await other.changeFeed()];
    events = [];
    subscriber.subscribe((event) => events.push(event));
  });
  afterEach(async () => {
    for (const each of [cache, publisher, subscriber, redis]) await each[Symbol.asyncDispose]();
  });

  let revision = 0n;
  const publish = () => publisher.publish({ kind: "entity", entity: { kind: "app", name: "web" }, revision: ++revision });
  const gaps = () => events.filter(({ kind }) => kind === "gap").length;
  /** Both ends work: an announcement arrives, and what is put is answered. */
  const works = async () => {
    await eventually(
      () => {
        publish();
        cache.put("shops", config);
        return events.some((event) => event.kind === "entity" && event.revision === revision - 1n);
      },
      { timeoutMs: 30_000, everyMs: 100 },
    );
    await eventually(async () => assert.equal((await cache.get("shops"))?.etag, "etag"));
  };
  /** Nobody waits for what Redis does not do, and nothing rejects: an unhandled rejection fails the run. */
  const neverWaits = async (rounds: number) => {
    for (let round = 0; round < rounds; round++) {
      const startedAt = performance.now();
      publish();
      cache.put("shops", config);
      await cache.get("shops"); // takes 100 ms at most, more only where the machine stands still
      assert.ok(performance.now() - startedAt < 5000, `${performance.now() - startedAt} ms`);
    }
  };

  it("a restart of Redis announces a gap, and cached configs may be lost", async () => {
    await works();
    const before = gaps();
    await container.kill();
    await neverWaits(20);
    assert.equal(await cache.get("shops"), undefined);
    assert.ok((await redis.counted("nebula_hints_lost_total", "publish")) >= 20);
    assert.ok((await redis.counted("nebula_hints_lost_total", "put")) >= 20);
    assert.ok((await redis.counted("nebula_config_cache_reads_total", "failed")) >= 20);
    await container.startAgain();
    await eventually(() => gaps() > before);
    await works();
  });

  it("a hang of Redis announces a gap, though no connection was closed by it", async () => {
    await works();
    const before = gaps();
    await container.pause();
    await neverWaits(20);
    const startedAt = performance.now();
    await eventually(async () => assert.ok((await redis.counted("nebula_hints_lost_total", "publish")) >= 20)); // each is given up
    await eventually(() => performance.now() - startedAt > 3000); // three messages to itself did not arrive
    await container.unpause();
    await eventually(() => gaps() > before);
    await works();
  });

  it("an emptied Redis loses only its own content", async () => {
    await works();
    const before = gaps();
    const other = new Redis(redisUrl({ address: container.address }));
    await other.flushall();
    other.disconnect();
    assert.equal(await cache.get("shops"), undefined);
    await works();
    assert.equal(gaps(), before);
  });

  it("a process without Redis delivers its own announcements, also while Redis is unreachable", async () => {
    const own: FeedEvent[] = [];
    publisher.subscribe((event) => own.push(event));
    await container.kill();
    publish();
    await eventually(() => own.some(({ kind }) => kind === "entity"));
    const following = await publisher.followStatus("shops");
    publisher.publish({
      kind: "status",
      deviceGroup: "shops",
      news: { changes: [create(StatusChangeSchema, { deviceId: "device-1" })], presence: [] },
    });
    await eventually(() => own.some(({ kind }) => kind === "status"));
    following[Symbol.dispose]();
    await container.startAgain();
    await works();
  });

  it("a hang of Redis leaves no pending work at a stop: everything closes within two seconds", async () => {
    await container.pause();
    publish();
    cache.put("shops", config);
    const startedAt = performance.now();
    for (const each of [cache, publisher, subscriber, redis]) await each[Symbol.asyncDispose]();
    const took = performance.now() - startedAt;
    await container.unpause();
    assert.ok(took < 2000, `${took} ms`);
  });

  it("a subscription that is closed while it connects ends at once, and leaves no connection", async () => {
    const [command, ...connections] = [
      new Redis(redis.url),
      new Redis(redis.url, { lazyConnect: true }),
      new Redis(redis.url, { lazyConnect: true }),
    ];
    const [first, second] = connections;
    let closing: Promise<void> | undefined;
    const connect = (attempt: number) => {
      const connection = (attempt === 0 ? first : second) ?? assert.fail();
      if (attempt === 1) closing = Promise.resolve().then(() => subscription[Symbol.asyncDispose]());
      return connection;
    };
    const publish = (channel: string, message: Buffer) => command.publish(channel, message);
    const options = { connect, publish, seal: new HintSeal("a cluster key", undefined), onMessage: () => {}, onGap: () => {} };
    const subscription = new Subscription({ ...options, clock: fastClock(5), log: silentLog }, ["news"]);
    await subscription.whole();
    first?.disconnect();
    try {
      await eventually(() => closing !== undefined);
      await closing;
      assert.equal(second?.status, "end");
    } finally {
      for (const each of [command, ...connections]) each.disconnect();
    }
  });
});

import { strict as assert } from "node:assert";
import { Redis } from "ioredis";
import type { LoginCounts } from "../access/login-counts.ts";
import { eventually } from "../testing/eventually.ts";
import { describeRedisPair, TEST_CLUSTER } from "../testing/test-redis.ts";
import { HintSeal } from "./hint-seal.ts";

const KEYS = ["password 10.0.0.1", "password 10.0.0.1 ann"];

describe("failed logins that shards count together on Redis", () => {
  const pair = describeRedisPair(
    (process) => process.loginCounts(),
    (url) => new Redis(url),
  );
  /** The counts; an answer that was too late for one read comes with another. */
  const read = (counts: LoginCounts) =>
    eventually(async () => {
      const found = await counts.read(KEYS);
      assert.ok(found, "no answer came in time");
      return found;
    });
  const failures = async (counts: LoginCounts) => (await read(counts)).map((count) => count.failures);
  const names = () => pair().client.keys(`${new HintSeal(pair().redis.clusterKey, TEST_CLUSTER).prefix}login:*`);

  it("failed logins add up over the shards, key by key, and are forgotten where a login succeeds", async () => {
    const { one, other } = pair();
    assert.deepEqual(await failures(one), [0, 0]);
    for (let i = 0; i < 3; i++) one.add(KEYS);
    for (let i = 0; i < 2; i++) other.add(KEYS.slice(0, 1));
    await eventually(async () => assert.deepEqual(await failures(one), [5, 3]));
    assert.deepEqual(await failures(other), [5, 3]);
    other.clear(KEYS[1] ?? "");
    await eventually(async () => assert.deepEqual(await failures(one), [5, 0]));
  });

  it("failed logins say how long ago the last one was, and expire ten minutes after it", async () => {
    const { client, one, other } = pair();
    one.add(KEYS.slice(0, 1));
    await eventually(async () => assert.deepEqual(await failures(one), [1, 0]));
    const [name = ""] = await names();
    assert.ok((await client.pttl(name)) > 590_000);
    await client.pexpire(name, 300_000);
    const [count] = await read(other);
    assert.ok(count !== undefined && count.agoMs >= 300_000 && count.agoMs < 310_000, `${count?.agoMs} ms`);
    await client.persist(name);
    await read(other);
    await eventually(async () => assert.ok((await client.pttl(name)) > 590_000, "one without an expiry gets one"));
  });

  it("failed logins on Redis hold neither addresses nor names, and refuse text in place of a number", async () => {
    const { client, redis, one } = pair();
    one.add(KEYS);
    await eventually(async () => assert.equal((await names()).length, 2));
    for (const name of await names()) {
      assert.ok(!name.includes("10.0.0.1") && !name.includes("ann"));
      await client.set(name, "garbage, not a number", "PX", 60_000);
    }
    assert.deepEqual(await failures(one), [0, 0]);
    assert.ok((await redis.counted("nebula_hints_rejected_total", "login")) >= 2);
    for (const name of await names()) await client.set(name, "99999999999999999", "PX", 60_000);
    assert.ok((await failures(one)).every((count) => count <= 1000));
  });
});

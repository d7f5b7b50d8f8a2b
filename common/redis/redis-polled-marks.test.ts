import { strict as assert } from "node:assert";
import { Redis } from "ioredis";
import { eventually } from "../testing/eventually.ts";
import { describeRedisPair, TEST_CLUSTER } from "../testing/test-redis.ts";
import { MARKED_MS } from "../v2/polled-marks.ts";
import { HintSeal } from "./hint-seal.ts";

describe("device_groups that shards mark as polled on Redis", () => {
  const pair = describeRedisPair(
    (process) => process.polledMarks(),
    (url) => new Redis(url),
  );
  const keyOf = (group: string) => `${new HintSeal(pair().redis.clusterKey, TEST_CLUSTER).prefix}polled:${group}`;

  it("polled groups are known to the other shards until their marks expire, and no other group is", async () => {
    const { client, one, other } = pair();
    await one.mark(["shops", "tills"]);
    await eventually(async () => assert.deepEqual([await other.isMarked("shops"), await other.isMarked("tills")], [true, true]));
    assert.equal(await other.isMarked("kiosks"), false);
    const leftMs = await client.pttl(keyOf("shops"));
    assert.ok(leftMs > MARKED_MS / 2 && leftMs <= MARKED_MS, `${leftMs} ms`);
    await client.pexpire(keyOf("shops"), 1);
    await eventually(async () => !(await other.isMarked("shops")));
  });

  it("an attacker with write access to Redis and no cluster key marks no group", async () => {
    const { client, redis, one, other } = pair();
    await one.mark(["shops"]);
    const mark = await eventually(async () => (await client.getBuffer(keyOf("shops"))) ?? false);
    await client.set(keyOf("tills"), mark, "PX", MARKED_MS);
    await client.set(keyOf("kiosks"), "garbage that is as long as a mark, and longer than that: it is cut where a mark would end", "PX", MARKED_MS);
    assert.deepEqual([await other.isMarked("tills"), await other.isMarked("kiosks")], [false, false]);
    await eventually(async () => {
      await other.isMarked("tills"); // one without an answer in time counts as lost, not as rejected
      return (await redis.counted("nebula_hints_rejected_total", "polled")) >= 2;
    });
  });
});

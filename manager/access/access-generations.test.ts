import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedListener } from "../../common/feed/change-feed.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessGenerations } from "./access-generations.ts";

const EVERY_MS = 10_000;
const STEP_MS = 100;

async function start() {
  const clock = new ManualClock();
  const life = new AbortController();
  const feed = createMemoryFeed({ log: silentLog });
  const store = { value: "a", isDown: false, reads: 0, before: async () => {} };
  const told: string[] = [];
  const accessStore = {
    async stamp() {
      store.reads++;
      const { value } = store;
      await store.before();
      if (store.isDown) throw new NebulaError("unavailable", "down");
      return value;
    },
  };
  let listener: FeedListener = () => {};
  const changeFeed: Pick<ChangeFeed, "subscribe"> = {
    subscribe(given) {
      listener = given;
      return feed.subscribe(given);
    },
  };
  const generations = new AccessGenerations({ accessStore, changeFeed, clock, log: silentLog, everyMs: EVERY_MS, signal: life.signal });
  let dues = 0;
  generations.listen({
    named: (subject) => told.push(subject),
    began: () => told.push(`generation ${generations.current}`),
    sessionsDue: () => void dues++,
  });
  await eventually(() => assert.equal(clock.sleeping, 1), { timeoutMs: 1000 });
  return {
    generations,
    store,
    told,
    dues: () => dues,
    gap: () => listener({ kind: "gap" }),
    async name(subject: string) {
      feed.publish({ kind: "access", subject });
      await turn(); // it is delivered after this turn
    },
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += STEP_MS) {
        await clock.advance(STEP_MS);
        for (let turns = 0; turns < 4; turns++) await turn();
      }
    },
    async [Symbol.asyncDispose]() {
      life.abort();
      await generations.done;
      await feed[Symbol.asyncDispose]();
    },
  };
}

describe("generations of access", () => {
  it("N1, N2: a generation lasts as long as the stamp, which is read every interval", async () => {
    await using rig = await start();
    assert.deepEqual([rig.told, rig.store.reads], [["generation 1"], 1]);
    await rig.pass(EVERY_MS + STEP_MS);
    assert.deepEqual([rig.told, rig.store.reads], [["generation 1"], 2]);
    rig.store.value = "b";
    await rig.pass(EVERY_MS + STEP_MS);
    assert.deepEqual(rig.told, ["generation 1", "generation 2"]);
  });

  it("N1, N3: a named subject is announced at once, and another generation begins only where the stamp is another", async () => {
    await using rig = await start();
    await rig.pass(STEP_MS);
    await rig.name("device/d1");
    assert.deepEqual(rig.told, ["generation 1", "device/d1"]);
    await rig.pass(2 * STEP_MS);
    assert.deepEqual([rig.generations.current, rig.store.reads], [1, 2]);
    rig.store.value = "b";
    await rig.name("user/ann");
    await rig.pass(2 * STEP_MS);
    assert.deepEqual(rig.told, ["generation 1", "device/d1", "user/ann", "generation 2"]);
  });

  it("N1: the stamp is read at most ten times a second, once at a time, and again for a subject that was named during a read", async () => {
    await using rig = await start();
    await rig.pass(STEP_MS);
    const before = rig.store.reads;
    for (let step = 0; step < 10; step++) {
      for (let index = 0; index < 100; index++) await rig.name(`device/d${step}-${index}`);
      await rig.pass(STEP_MS);
    }
    const reads = rig.store.reads - before;
    assert.ok(reads >= 5 && reads <= 11, `${reads} reads in a second`);
    await rig.pass(2 * STEP_MS);
    const { promise, resolve } = Promise.withResolvers<void>();
    rig.store.before = () => promise;
    await rig.name("user/ann");
    await rig.pass(STEP_MS);
    rig.store.value = "b"; // the read in flight has the value from before
    await rig.name("user/bob");
    rig.store.before = async () => {};
    resolve();
    await rig.pass(2 * STEP_MS);
    assert.equal(rig.generations.current, 2);
  });

  it("N1, N5: the stamp is read as soon as the feed had a gap, in which any subject may have been named", async () => {
    await using rig = await start();
    await rig.pass(STEP_MS);
    const mark = rig.generations.mark();
    rig.store.value = "b";
    rig.gap();
    assert.equal(rig.generations.isNamedSince(mark, ["user/ann"]), true);
    await rig.pass(2 * STEP_MS);
    assert.equal(rig.generations.current, 2);
  });

  it("N4: a generation lasts while the store does not answer", async () => {
    await using rig = await start();
    rig.store.isDown = true;
    await rig.pass(5 * EVERY_MS);
    rig.store.isDown = false;
    await rig.pass(EVERY_MS + STEP_MS);
    assert.deepEqual([rig.told, rig.generations.current], [["generation 1"], 1]);
  });

  it("N6: sessions are due every interval and after a gap, and those that are named wake no read of the stamp", async () => {
    await using rig = await start();
    await rig.pass(EVERY_MS / 2);
    assert.deepEqual([rig.dues(), rig.store.reads], [0, 1]);
    for (let index = 0; index < 50; index++) await rig.name(`session/${index}`);
    await rig.pass(STEP_MS);
    assert.deepEqual([rig.told.length, rig.store.reads], [51, 1], "each is passed on");
    await rig.pass(EVERY_MS / 2 + STEP_MS);
    assert.deepEqual([rig.dues(), rig.store.reads], [1, 2]);
    await rig.pass(10 * EVERY_MS);
    assert.ok(rig.dues() >= 6 && rig.dues() <= 11, `${rig.dues()} times`);
    const before = rig.dues();
    rig.gap();
    await rig.pass(2 * STEP_MS);
    assert.equal(rig.dues(), before + 1);
    assert.deepEqual(rig.generations.current, 1);
  });

  it("N6: subjects that are named meanwhile do not put off when sessions are due", async () => {
    await using rig = await start();
    for (let dues = 1; dues <= 4; dues++) {
      await rig.pass(0.9 * EVERY_MS);
      await rig.name("user/ann");
      await rig.pass(0.1 * EVERY_MS + 4 * STEP_MS);
      assert.equal(rig.dues(), dues);
    }
  });

  it("N5: generations know which subjects were named since a mark, and answer yes where they have forgotten", async () => {
    await using rig = await start();
    await rig.name("user/ann");
    const mark = rig.generations.mark();
    assert.equal(rig.generations.isNamedSince(mark, ["user/ann"]), false);
    await rig.name("user/bob");
    assert.equal(rig.generations.isNamedSince(mark, ["user/ann", "user/bob"]), true);
    assert.equal(rig.generations.isNamedSince(mark, ["user/ann"]), false);
    for (let index = 0; index < 1100; index++) await rig.name(`device/d${index}`);
    assert.equal(rig.generations.isNamedSince(mark, ["user/ann"]), true);
    assert.equal(rig.generations.isNamedSince(rig.generations.mark(), ["user/ann"]), false);
  });
});

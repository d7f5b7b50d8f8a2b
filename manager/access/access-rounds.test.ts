import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessRounds } from "./access-rounds.ts";

const EVERY_MS = 10_000;

async function start() {
  const clock = new ManualClock();
  const life = new AbortController();
  const feed = createMemoryFeed({ log: silentLog });
  const store = { value: "a", isDown: false, reads: 0 };
  const told: string[] = [];
  const accessStore = {
    async stamp() {
      store.reads++;
      if (store.isDown) throw new NebulaError("unavailable", "down");
      return store.value;
    },
  };
  const rounds = new AccessRounds({ accessStore, changeFeed: feed, clock, log: silentLog, everyMs: EVERY_MS, signal: life.signal });
  rounds.listen({ began: (subjects) => told.push(`${rounds.current}: ${[...subjects].join(" ")}`.trim()), lost: () => told.push("lost") });
  await eventually(() => assert.equal(clock.sleeping, 1), { timeoutMs: 1000 });
  return {
    rounds,
    store,
    told,
    name: (subject: string) => feed.publish({ kind: "access", subject }),
    /** Lets one interval pass, and the read at its end. */
    async interval() {
      const { reads } = store;
      await clock.advance(EVERY_MS);
      await eventually(() => assert.ok(store.reads > reads && clock.sleeping === 1), { timeoutMs: 1000 });
    },
    async [Symbol.asyncDispose]() {
      life.abort();
      await rounds.done;
      await feed[Symbol.asyncDispose]();
    },
  };
}

describe("rounds of access", () => {
  it("last as long as the stamp, which is read every interval", async () => {
    await using rig = await start();
    assert.deepEqual([rig.told, rig.store.reads], [["1:"], 1]);
    await rig.interval();
    assert.deepEqual([rig.told, rig.store.reads], [["1:"], 2]);
    rig.store.value = "b";
    await rig.interval();
    assert.deepEqual(rig.told, ["1:", "2:"]);
  });

  it("N1, N3: are told with who was named as soon as somebody is, where the stamp is another", async () => {
    await using rig = await start();
    rig.store.value = "b";
    await Promise.all([rig.name("user/ann"), rig.name("device/d1")]);
    await eventually(() => assert.equal(rig.told.length, 2), { timeoutMs: 1000 });
    assert.match(rig.told[1] ?? "", /^2: (user\/ann|user\/ann device\/d1)$/);
    await rig.name("user/bob");
    await eventually(() => assert.ok(rig.store.reads >= 3), { timeoutMs: 1000 });
    assert.equal(rig.rounds.current, 2, "the stamp is the same: nothing has changed");
  });

  it("N4: go on where the store does not answer, for an hour; then no credential counts until it does", async () => {
    await using rig = await start();
    rig.store.isDown = true;
    for (let passed = 0; passed < 3_600_000; passed += EVERY_MS) await rig.interval();
    assert.deepEqual(rig.told, ["1:"]);
    await rig.interval();
    assert.deepEqual(rig.told, ["1:", "lost"]);
    rig.store.isDown = false;
    await rig.interval();
    assert.deepEqual([rig.told, rig.rounds.current], [["1:", "lost"], 1]);
  });
});

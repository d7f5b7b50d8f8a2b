import { strict as assert } from "node:assert";
import { ManualClock } from "./clock/manual-clock.ts";
import { Places } from "./places.ts";

describe("places for work side by side", () => {
  it("work in places runs at most `count` at once, in its order, and all in the end", async () => {
    const clock = new ManualClock();
    const places = new Places({ clock, count: 2, patienceMs: 1000 });
    const ends: string[] = [];
    const work = (name: string) => places.run(() => clock.sleep(100, new AbortController().signal)).then(() => ends.push(name));
    const all = Promise.all(["a", "b", "c", "d", "e"].map(work));
    await clock.advance(100);
    assert.deepEqual(ends, ["a", "b"]);
    await clock.advance(100);
    assert.deepEqual(ends, ["a", "b", "c", "d"]);
    await clock.advance(100);
    await all;
    assert.equal(ends.length, 5);
  });

  it("places are given up by work that hangs, so that the others run", async () => {
    const clock = new ManualClock();
    const places = new Places({ clock, count: 2, patienceMs: 1000 });
    const slow: number[] = [];
    const ends: number[] = [];
    for (const index of [0, 1, 2, 3]) {
      const hangs = index < 3;
      const work = () => (hangs ? new Promise<void>(() => {}) : Promise.resolve());
      void places.run(work, () => slow.push(index)).then(() => ends.push(index));
    }
    await clock.advance(999);
    assert.deepEqual([slow, ends], [[], []]);
    await clock.advance(1);
    assert.deepEqual([slow, ends], [[0, 1], [3]]);
  });

  it("places are free again after work that failed", async () => {
    const clock = new ManualClock();
    const places = new Places({ clock, count: 1, patienceMs: 1000 });
    await assert.rejects(
      places.run(() => Promise.reject(new Error("broken"))),
      /broken/,
    );
    assert.equal(await places.run(async () => "done"), "done");
    assert.equal(clock.sleeping, 0);
  });
});

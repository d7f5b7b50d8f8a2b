import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { LoadQueue } from "./load-queue.ts";

/** A queue of numbers whose reads a test ends; of two wants the larger one stays. */
function held(width: number) {
  const started: string[] = [];
  const ends: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const queue = new LoadQueue<string, number>({
    load: async (key, want) => {
      started.push(`${key} ${want}`);
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
    },
    merge: Math.max,
    width,
  });
  return { queue, started, endOne: () => ends.shift()?.(), most: () => most };
}

describe("load queue", () => {
  it("W3: reads a key once more after a read during which it was wanted again, for all wants together", async () => {
    const { queue, started, endOne } = held(4);
    queue.want("g", 0);
    await eventually(() => started.length === 1);
    for (let want = 0; want < 10; want++) queue.want("g", want % 7);
    endOne();
    await eventually(() => started.length === 2);
    endOne();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    assert.deepEqual(started, ["g 0", "g 6"]);
    queue.want("g", 1);
    await eventually(() => started.length === 3);
    endOne();
  });

  it("L1: runs no more at once than it may, and all of them in the end", async () => {
    const { queue, started, endOne, most } = held(3);
    const keys = Array.from({ length: 20 }, (_, index) => `g${index}`);
    for (const key of keys) queue.want(key, 0);
    await eventually(
      () => {
        endOne();
        return started.length === 20;
      },
      { everyMs: 1 },
    );
    assert.deepEqual(
      started,
      keys.map((key) => `${key} 0`),
    );
    assert.equal(most(), 3);
    for (let end = 0; end < 3; end++) endOne();
  });
});

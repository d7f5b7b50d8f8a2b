import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { LoadQueue } from "./load-queue.ts";

/** A queue of numbers whose reads a test ends; of two requests the larger one stays. */
function held(width: number) {
  const started: string[] = [];
  const ends: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const queue = new LoadQueue<string, number>({
    load: async (key, request) => {
      started.push(`${key} ${request}`);
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
  it("W3: the queue reads a key once more after a read during which it was requested again, for all requests together", async () => {
    const { queue, started, endOne } = held(4);
    queue.enqueue("g", 0);
    await eventually(() => started.length === 1);
    for (let value = 0; value < 10; value++) queue.enqueue("g", value % 7);
    endOne();
    await eventually(() => started.length === 2);
    endOne();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    assert.deepEqual(started, ["g 0", "g 6"]);
    queue.enqueue("g", 1);
    await eventually(() => started.length === 3);
    endOne();
  });

  it("L1: the queue runs at most `width` reads at once, and all of them in the end", async () => {
    const { queue, started, endOne, most } = held(3);
    const keys = Array.from({ length: 20 }, (_, index) => `g${index}`);
    for (const key of keys) queue.enqueue(key, 0);
    queue.enqueue("g19", 0); // a request for a key that waits is not counted twice
    assert.equal(queue.length, 20);
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
    await eventually(() => queue.length === 0);
  });
});

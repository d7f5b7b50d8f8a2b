import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { LoadQueue } from "./load-queue.ts";

/** A load that a test ends. */
function held() {
  const started: string[] = [];
  const ends: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const load = async (group: string, fresh: boolean) => {
    started.push(fresh ? `${group} fresh` : group);
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => ends.push(resolve));
    running--;
  };
  return { started, load, endOne: () => ends.shift()?.(), most: () => most };
}

describe("load queue", () => {
  it("W3: any number of hints during a load start one more after it, as fresh as the freshest asked for", async () => {
    const { started, load, endOne } = held();
    const queue = new LoadQueue(load, 4);
    queue.want("g", false);
    await eventually(() => started.length === 1);
    for (let hint = 0; hint < 10; hint++) queue.want("g", hint === 3);
    endOne();
    await eventually(() => started.length === 2);
    endOne();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    assert.deepEqual(started, ["g", "g fresh"]);
    queue.want("g", false);
    await eventually(() => started.length === 3);
    endOne();
  });

  it("W3: repeats what runs, and only that, when nobody can tell whom a change concerns", async () => {
    const { started, load, endOne } = held();
    const queue = new LoadQueue(load, 1);
    queue.want("a", false);
    queue.want("b", false);
    await eventually(() => started.length === 1);
    queue.repeatRunning();
    for (let end = 0; end < 3; end++) {
      endOne();
      await eventually(() => started.length >= Math.min(3, end + 2));
    }
    assert.deepEqual(started, ["a", "b", "a fresh"]);
  });

  it("L1: runs no more at once than it may, and all of them in the end", async () => {
    const { started, load, endOne, most } = held();
    const queue = new LoadQueue(load, 3);
    const groups = Array.from({ length: 20 }, (_, index) => `g${index}`);
    for (const group of groups) queue.want(group, false);
    await eventually(
      () => {
        endOne();
        return started.length === 20;
      },
      { everyMs: 1 },
    );
    assert.deepEqual(started, groups);
    assert.equal(most(), 3);
    for (let end = 0; end < 3; end++) endOne();
  });
});

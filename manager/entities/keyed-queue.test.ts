import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { KeyedQueue } from "./keyed-queue.ts";

describe("the queue of writes", () => {
  const never = new AbortController().signal;

  it("writes of one key run one after the other, in order, and those of other keys beside them", async () => {
    const queue = new KeyedQueue(100);
    const done: string[] = [];
    let atOnce = 0;
    let most = 0;
    const work = (name: string, key: string) =>
      queue.run(key, never, async () => {
        if (key === "a") most = Math.max(most, ++atOnce);
        await turn();
        if (key === "a") atOnce--;
        done.push(name);
      });
    await Promise.all([work("1", "a"), work("2", "a"), work("3", "a"), work("x", "b")]);
    assert.equal(most, 1);
    assert.deepEqual(
      done.filter((name) => name !== "x"),
      ["1", "2", "3"],
    );
    assert.equal(done.indexOf("x") < 2, true);
    assert.equal(queue.size, 0);
  });

  it("writes continue after one that failed", async () => {
    const queue = new KeyedQueue(100);
    const failed = queue.run("a", never, () => Promise.reject(new Error("no")));
    const fine = queue.run("a", never, () => Promise.resolve("yes"));
    await assert.rejects(failed, /no/);
    assert.equal(await fine, "yes");
  });

  it("writes whose callers have gone leave the queue, and hold up no other", async () => {
    const queue = new KeyedQueue(100);
    const leaving = new AbortController();
    let end = () => {};
    const first = queue.run("a", never, () => new Promise<void>((resolve) => (end = resolve)));
    const second = queue.run("a", leaving.signal, () => Promise.reject(new Error("must not run")));
    const third = queue.run("a", never, () => Promise.resolve("third"));
    leaving.abort(new Error("gone"));
    await assert.rejects(second, /gone/);
    end();
    await first;
    assert.equal(await third, "third");
    await assert.rejects(
      queue.run("a", leaving.signal, () => Promise.resolve()),
      /gone/,
    );
    assert.equal(queue.size, 0);
  });

  it("writes beyond the bound are refused", async () => {
    const queue = new KeyedQueue(1);
    let end = () => {};
    const first = queue.run("app web", never, () => new Promise<void>((resolve) => (end = resolve)));
    const second = queue.run("app web", never, () => Promise.resolve());
    await assert.rejects(
      queue.run("app web", never, () => Promise.resolve()),
      (error) => isNebulaError(error, "resource_exhausted") && /app web/.test(error.message),
    );
    end();
    await Promise.all([first, second]);
  });
});

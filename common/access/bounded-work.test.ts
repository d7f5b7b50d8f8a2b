import { strict as assert } from "node:assert";
import { isNebulaError } from "../errors/nebula-error.ts";
import { BoundedWork } from "./bounded-work.ts";

describe("work that is bounded", () => {
  const setUp = () => ({ work: new BoundedWork({ what: "checks", atOnce: 2, waiting: 2 }), first: Promise.withResolvers<void>() });

  it("is done a few pieces at a time, the rest in order", async () => {
    const work = new BoundedWork({ what: "checks", atOnce: 2, waiting: 10 });
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    await Promise.all(
      [0, 1, 2, 3, 4, 5, 6].map((each) =>
        work.run(async () => {
          begun.push(each);
          running += 1;
          most = Math.max(most, running);
          await new Promise(setImmediate);
          running -= 1;
        }),
      ),
    );
    assert.deepEqual(begun, [0, 1, 2, 3, 4, 5, 6]);
    assert.equal(most, 2);
  });

  it("is refused where too much waits, and taken again when that is done", async () => {
    const { work, first } = setUp();
    const busy = [1, 2, 3, 4].map(() => work.run(() => first.promise));
    await assert.rejects(
      work.run(async () => {}),
      (error) => isNebulaError(error, "resource_exhausted"),
    );
    first.resolve();
    await Promise.all(busy);
    assert.equal(await work.run(async () => "done"), "done");
  });

  it("that nobody waits for any more makes room, and is not done", async () => {
    const { work, first } = setUp();
    const gone = new AbortController();
    const running = [1, 2].map(() => work.run(() => first.promise));
    let done = false;
    const left = work.run(async () => {
      done = true;
    }, gone.signal);
    const waiting = work.run(async () => {});
    gone.abort(new Error("gone"));
    await assert.rejects(left, /gone/);
    const another = work.run(async () => {}); // in the room that was made
    first.resolve();
    await Promise.all([...running, waiting, another]);
    assert.equal(done, false);
  });

  it("that fails gives its place to the next", async () => {
    const { work } = setUp();
    const failing = [1, 2, 3].map(() => work.run(() => Promise.reject(new Error("failed"))));
    const next = work.run(async () => "next");
    for (const each of failing) await assert.rejects(each, /failed/);
    assert.equal(await next, "next");
  });
});

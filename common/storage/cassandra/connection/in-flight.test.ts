import { strict as assert } from "node:assert";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { InFlight } from "./in-flight.ts";

const never = () => new AbortController().signal;

describe("requests in flight", () => {
  it("requests in flight are bounded, wait in order, and are refused beyond the queue", async () => {
    const inFlight = new InFlight({ most: 2, queue: 2 });
    const started: number[] = [];
    const ends = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
    const runs = ends.map(({ promise }, index) =>
      inFlight.run(() => {
        started.push(index);
        return promise;
      }, never),
    );
    assert.deepEqual([started, inFlight.running, inFlight.waiting], [[0, 1], 2, 2]);
    await assert.rejects(
      inFlight.run(async () => {}, never),
      (error) => isNebulaError(error, "unavailable") && (error.retryAfterMs ?? 0) > 0,
    );
    ends[1]?.resolve();
    await runs[1];
    await new Promise(setImmediate);
    assert.deepEqual([started, inFlight.running, inFlight.waiting], [[0, 1, 2], 2, 1]);
    for (const { resolve } of ends) resolve();
    await Promise.all(runs);
    assert.deepEqual([started, inFlight.running, inFlight.waiting], [[0, 1, 2, 3], 0, 0]);
  });

  it("requests leave the queue when their signal is aborted, with its reason, and free no place twice", async () => {
    const inFlight = new InFlight({ most: 1, queue: 10 });
    const end = Promise.withResolvers<void>();
    const first = inFlight.run(() => end.promise, never);
    const gone = new AbortController();
    const second = inFlight.run(
      () => assert.fail("it ran"),
      () => gone.signal,
    );
    const third = inFlight.run(async () => "done", never);
    gone.abort(new Error("gone"));
    await assert.rejects(second, /gone/);
    assert.equal(inFlight.waiting, 1);
    end.resolve();
    await first;
    assert.equal(await third, "done");
    assert.deepEqual([inFlight.running, inFlight.waiting], [0, 0]);
  });

  it("requests that fail free their place", async () => {
    const inFlight = new InFlight({ most: 1, queue: 0 });
    await assert.rejects(
      inFlight.run(async () => {
        throw new Error("no");
      }, never),
      /no/,
    );
    assert.equal(await inFlight.run(async () => 1, never), 1);
  });
});

import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { CallRoom } from "./call-room.ts";

function never(): AbortSignal {
  return new AbortController().signal;
}

describe("room for calls", () => {
  it("the room for calls handles each call once and in order, with a bound on calls at one time, refuses those beyond the bound, and ends empty", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 20 }),
        async (atOnce, waiting, times) => {
          const clock = new ManualClock();
          const room = new CallRoom({ clock, atOnce, waiting, signal: never() });
          const begun: number[] = [];
          let running = 0;
          const ends = times.map((ms, index) =>
            room
              .run(async () => {
                begun.push(index);
                running++;
                assert.ok(running <= atOnce);
                await clock.sleep(ms, never());
                running--;
              }, never())
              .then(
                () => "done",
                (error) => (isNebulaError(error, "unavailable") && (error.retryAfterMs ?? 0) >= 5000 ? "refused" : String(error)),
              ),
          );
          await clock.advance(100_000);
          const outcomes = await Promise.all(ends);
          assert.deepEqual(
            begun,
            begun.toSorted((one, other) => one - other),
          );
          assert.equal(outcomes.filter((outcome) => outcome === "done").length, begun.length);
          assert.equal(outcomes.filter((outcome) => outcome === "refused").length, times.length - begun.length);
          assert.ok(begun.length >= Math.min(times.length, atOnce));
          assert.deepEqual([room.running, room.waiting, room.refused], [0, 0, times.length - begun.length]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("the room for calls drops a call that waited for 10 s, and handles one that waited for less", async () => {
    const clock = new ManualClock();
    const room = new CallRoom({ clock, atOnce: 1, waiting: 10, signal: never() });
    const held = Promise.withResolvers<void>();
    const first = room.run(() => held.promise, never());
    let refusal: unknown;
    let began = false;
    const dropped = room
      .run(async () => assert.fail("it was dropped"), never())
      .catch((error: unknown) => {
        refusal = error;
      });
    await clock.advance(5000);
    const later = room.run(async () => {
      began = true;
    }, never());
    await clock.advance(4999);
    assert.equal(refusal, undefined);
    await clock.advance(1000);
    await dropped;
    assert.ok(isNebulaError(refusal, "unavailable"));
    held.resolve();
    await Promise.all([first, later]);
    assert.ok(began);
  });

  it("the room for calls gives the place of a caller that disconnected to another", async () => {
    const room = new CallRoom({ clock: new ManualClock(), atOnce: 1, waiting: 1, signal: never() });
    const held = Promise.withResolvers<void>();
    const first = room.run(() => held.promise, never());
    const gone = new AbortController();
    const left = assert.rejects(
      room.run(async () => assert.fail("its caller went away"), gone.signal),
      /went away/,
    );
    gone.abort(new Error("went away"));
    await left;
    const second = room.run(async () => "done", never());
    held.resolve();
    await first;
    assert.equal(await second, "done");
  });
});

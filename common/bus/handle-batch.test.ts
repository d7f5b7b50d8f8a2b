import { strict as assert } from "node:assert";
import { ManualClock } from "../clock/manual-clock.ts";
import { handleBatch } from "./handle-batch.ts";
import type { BusMessage } from "./report-bus.ts";

const BATCH: readonly BusMessage[] = [{ key: "device-1", value: new Uint8Array(), timestampMs: 0 }];
const never = new AbortController().signal;

/** A handler that waits until its signal is aborted, as a store that hangs. */
async function untilAborted(_batch: readonly BusMessage[], signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  throw signal.reason;
}

describe("handleBatch", () => {
  it("handleBatch aborts the handler's signal when the partition is lost, and does not call the handler again", async () => {
    const clock = new ManualClock();
    const lost = new AbortController();
    let calls = 0;
    const handled = handleBatch((batch, signal) => untilAborted(batch, signal).finally(() => calls++), BATCH, {
      clock,
      stop: never,
      lost: lost.signal,
    });
    lost.abort(new Error("the partition is lost"));
    await assert.rejects(handled, /the partition is lost/);
    await clock.advance(60_000);
    assert.equal(calls, 1);
  });

  it("handleBatch ends the wait before a repeat when the partition is lost", async () => {
    const clock = new ManualClock();
    const lost = new AbortController();
    const handled = handleBatch(() => Promise.reject(new Error("unreachable")), BATCH, { clock, stop: never, lost: lost.signal });
    const rejected = assert.rejects(handled, /the partition is lost/);
    await clock.advance(50);
    lost.abort(new Error("the partition is lost"));
    await rejected;
    assert.equal(clock.sleeping, 0);
  });

  it("handleBatch lets a handler finish that runs when the stop comes, and aborts its signal 10 s later", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const release = Promise.withResolvers<void>();
    const finished = handleBatch(() => release.promise, BATCH, { clock, stop: stop.signal, lost: never });
    const hanging = assert.rejects(handleBatch(untilAborted, BATCH, { clock, stop: stop.signal, lost: never }), /took too long/);
    stop.abort();
    await clock.advance(9_999);
    release.resolve();
    await finished;
    assert.equal(clock.sleeping, 1);
    await clock.advance(1);
    await hanging;
    assert.equal(clock.sleeping, 0);
  });

  it("handleBatch counts repeats, and no first attempt", async () => {
    const clock = new ManualClock();
    let attempts = 0;
    let repeats = 0;
    const handler = async () => {
      if (++attempts < 4) throw new Error("unreachable");
    };
    const handled = handleBatch(handler, BATCH, { clock, stop: never, lost: never, onRepeat: () => repeats++ });
    await clock.advance(10_000);
    await handled;
    assert.deepEqual([attempts, repeats], [4, 3]);
  });
});

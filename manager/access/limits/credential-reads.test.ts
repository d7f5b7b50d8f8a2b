import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { createCredentialReads } from "./credential-reads.ts";

function start() {
  const clock = new ManualClock();
  const reads = createCredentialReads(clock);
  const state = { inFlight: 0, most: 0, started: [] as number[] };
  const gates: (() => void)[] = [];
  const read = (index: number) =>
    reads(async () => {
      state.started.push(index);
      state.most = Math.max(state.most, ++state.inFlight);
      await new Promise<void>((resolve) => gates.push(resolve));
      state.inFlight--;
      return index;
    });
  return { clock, state, read, release: () => gates.shift()?.(), isTooMany: (error: unknown) => isNebulaError(error, "unavailable") };
}

describe("reads of credentials", () => {
  it("reads of credentials are 64 in flight at most, in the order in which they came, and are refused above 10,000 waiting", async () => {
    const { state, read, release, isTooMany } = start();
    const all = Array.from({ length: 64 + 10_000 }, (_, index) => read(index));
    await assert.rejects(read(-1), isTooMany);
    assert.deepEqual([state.started.length, state.inFlight], [64, 64]);
    for (let done = 0; done < all.length; done++) {
      release();
      if (done % 64 === 63) await turn();
    }
    for (let rounds = 0; state.inFlight > 0 && rounds < 1000; rounds++) {
      release();
      await turn();
    }
    assert.deepEqual(
      await Promise.all(all),
      Array.from({ length: 64 + 10_000 }, (_, index) => index),
    );
    assert.deepEqual(
      state.started,
      Array.from({ length: 64 + 10_000 }, (_, index) => index),
    );
    assert.equal(state.most, 64);
    const later = read(1);
    release();
    assert.equal(await later, 1, "a place is free again");
  });

  it("a read of a credential is skipped where its caller has gone while it waited, and rejects with the reason", async () => {
    const reads = createCredentialReads(new ManualClock(), { mostInFlight: 1 });
    const gate = Promise.withResolvers<void>();
    const first = reads(() => gate.promise);
    const gone = new AbortController();
    const started: string[] = [];
    const skipped = reads(async () => void started.push("gone"), gone.signal);
    const next = reads(async () => void started.push("next"));
    gone.abort(new Error("the caller has gone"));
    gate.resolve();
    await assert.rejects(skipped, /the caller has gone/);
    await Promise.all([first, next]);
    assert.deepEqual(started, ["next"]);
  });

  it("a read of a credential that fails frees its place, and one that has waited too long is refused", async () => {
    const clock = new ManualClock();
    const reads = createCredentialReads(clock, { mostInFlight: 1 });
    const gate = Promise.withResolvers<void>();
    const first = reads(() => gate.promise);
    const late = reads(async () => "late");
    const lateEnd = assert.rejects(late, (error) => isNebulaError(error, "unavailable"));
    await clock.advance(5001);
    const inTime = reads(async () => "in time");
    gate.reject(new Error("failed"));
    await assert.rejects(first, /failed/);
    await lateEnd;
    assert.equal(await inTime, "in time");
  });
});

import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { ManualClock } from "../../../../common/clock/manual-clock.ts";
import { POLL_MS } from "./live-hub.ts";
import type { Loaded } from "./loaded.ts";
import { startReading } from "./reading.ts";

describe("a reading", () => {
  let clock: ManualClock;
  let isAwake: boolean;
  let wake: () => void;
  let states: Loaded<number>[];
  let reads: number;
  let error: Error | undefined;
  let reported: unknown[];
  beforeEach(() => {
    [clock, isAwake, wake, states, reads, error, reported] = [new ManualClock(), true, () => {}, [], 0, undefined, []];
  });

  const start = () =>
    startReading<number>({
      read: async () => {
        reads++;
        if (error !== undefined) throw error;
        return reads;
      },
      publish: (state) => void states.push(state),
      attention: {
        isAwake: () => isAwake,
        whenAwake: () => new Promise((resolve) => (wake = resolve)),
      },
      clock,
      report: (error) => void reported.push(error),
    });

  it("a reading reads at once, every 5 s while somebody looks, and no more when it has ended", async () => {
    const reading = start();
    await clock.advance(0);
    assert.equal(reads, 1);
    await clock.advance(2 * POLL_MS);
    assert.equal(reads, 3);
    isAwake = false;
    await clock.advance(10 * POLL_MS);
    assert.equal(reads, 3);
    isAwake = true;
    wake();
    await clock.advance(0);
    assert.equal(reads, 4);
    reading[Symbol.dispose]();
    await clock.advance(10 * POLL_MS);
    assert.equal(reads, 4);
    assert.equal(states.length, 4);
  });

  it("a reading that fails keeps what was shown, with its age, and recovers by itself", async () => {
    using _reading = start();
    await clock.advance(0);
    const asOfMs = clock.now();
    error = new ConnectError("no manager answers", Code.Unavailable);
    await clock.advance(POLL_MS);
    assert.deepEqual(states.at(-1), { kind: "ready", value: 1, asOfMs, trouble: { kind: "unreachable" } });
    error = undefined;
    await clock.advance(POLL_MS);
    assert.deepEqual(states.at(-1), { kind: "ready", value: 3, asOfMs: clock.now(), trouble: undefined });
  });

  it("a reading that never succeeded says why, and what a login that ended showed is shown no more", async () => {
    error = new ConnectError("ann has no ro on device_group pos", Code.PermissionDenied);
    using _reading = start();
    await clock.advance(0);
    assert.deepEqual(states, [
      { kind: "failed", trouble: { kind: "refused", code: "permission_denied", message: "ann has no ro on device_group pos" } },
    ]);
    error = undefined;
    await clock.advance(POLL_MS);
    error = new ConnectError("the session ended", Code.Unauthenticated);
    await clock.advance(POLL_MS);
    assert.deepEqual(states.at(-1), { kind: "failed", trouble: { kind: "login" } });
  });

  it("a reading whose data were deleted, or are refused to the caller by now, shows them no more", async () => {
    for (const code of [Code.NotFound, Code.PermissionDenied, Code.InvalidArgument]) {
      error = undefined;
      using _reading = start();
      await clock.advance(0);
      assert.equal(states.at(-1)?.kind, "ready");
      error = new ConnectError("no", code);
      await clock.advance(POLL_MS);
      const last = states.at(-1);
      assert.deepEqual([last?.kind, last?.kind === "failed" && last.trouble.kind], ["failed", "refused"], Code[code]);
    }
  });

  it("a reading that the server has no room for keeps what was shown", async () => {
    using _reading = start();
    await clock.advance(0);
    error = new ConnectError("no room for one more call", Code.ResourceExhausted);
    await clock.advance(POLL_MS);
    const last = states.at(-1);
    assert.deepEqual([last?.kind, last?.kind === "ready" && last.value], ["ready", 1]);
  });

  it("an error of the page itself is reported, and not taken for a server that does not answer", async () => {
    error = new TypeError("x is undefined");
    using _reading = start();
    await clock.advance(0);
    assert.deepEqual(states, [{ kind: "failed", trouble: { kind: "fault", message: "x is undefined" } }]);
    assert.deepEqual(reported, [error]);
  });

  it("a reading reads again at once when it is asked to, also where a read is under way", async () => {
    using reading = start();
    reading.again();
    await clock.advance(0);
    const before = reads;
    reading.again();
    await clock.advance(0);
    assert.equal(reads, before + 1);
  });
});

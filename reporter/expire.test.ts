import { strict as assert } from "node:assert";
import { Counter, Registry } from "prom-client";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { silentLog } from "../common/log/log.ts";
import { runExpiry } from "./expire.ts";

const HOUR_MS = 3_600_000;

/** Runs the expiry over answers of a store, one per call (0 when they are used up), on a clock of the test. */
function start(answers: (number | Error)[]) {
  const clock = new ManualClock();
  const calls: { at: number; before: number }[] = [];
  const begun = clock.now();
  const deviceCalls: { at: number; before: number }[] = [];
  const presenceCalls: { at: number; before: number }[] = [];
  const store = {
    async expireDevices(before: number) {
      deviceCalls.push({ at: clock.now() - begun, before: before - clock.now() });
      return deviceCalls.length === 1 ? 7 : 0;
    },
    async expirePresence(nowMs: number) {
      presenceCalls.push({ at: clock.now() - begun, before: nowMs - clock.now() });
      return 0;
    },
    async expire(before: number) {
      calls.push({ at: clock.now() - begun, before: before - clock.now() });
      const answer = answers.shift() ?? 0;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const counter = (name: string) => new Counter({ name, help: name, registers: [new Registry()] });
  const [expired, devices] = [counter("expired"), counter("devices")];
  const stop = new AbortController();
  const ended = runExpiry({ store, ttlMs: 26 * HOUR_MS, clock, log: silentLog, expired: { reports: expired, devices } }, stop.signal);
  return {
    clock,
    calls,
    deviceCalls,
    presenceCalls,
    expired,
    devices,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

describe("expiry of reports", () => {
  it("expiry removes reports that are older than the time to live, at once and every minute", async () => {
    await using run = start([]);
    await run.clock.advance(120_000);
    assert.deepEqual(
      run.calls.map((call) => call.at),
      [0, 60_000, 120_000],
    );
    assert.deepEqual(new Set(run.calls.map((call) => call.before)), new Set([-26 * HOUR_MS]));
  });

  it("expiry removes presence that is out of date, at once and every minute", async () => {
    await using run = start([]);
    await run.clock.advance(60_000);
    assert.deepEqual(run.presenceCalls, [
      { at: 0, before: 0 },
      { at: 60_000, before: 0 },
    ]);
  });

  it("expiry continues soon while there is more, and counts", async () => {
    await using run = start([1000, 1000, 5, 0]);
    await run.clock.advance(1000);
    assert.equal(run.calls.length, 4);
    assert.equal((await run.expired.get()).values[0]?.value, 2005);
  });

  it("expiry removes devices without a token of their own 30 days after their newest report, at once and every minute", async () => {
    await using run = start([]);
    await run.clock.advance(61_000);
    assert.deepEqual(
      run.deviceCalls.map((call) => call.before),
      [1, 2, 3].map(() => -30 * 24 * HOUR_MS), // twice at first: there was something to remove
    );
    assert.equal((await run.devices.get()).values[0]?.value, 7);
  });

  it("expiry is retried when the store was unreachable", async () => {
    await using run = start([new Error("away"), 3]);
    await run.clock.advance(60_000);
    assert.equal(run.calls.length, 2);
    await run.clock.advance(1000);
    assert.equal((await run.expired.get()).values[0]?.value, 3);
  });

  it("expiry ends with its signal", async () => {
    const run = start([]);
    await run.clock.advance(0);
    await run[Symbol.asyncDispose]();
    assert.equal(run.clock.sleeping, 0);
  });
});

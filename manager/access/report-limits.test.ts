import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { COUNTED_MS, createReportLimits } from "./report-limits.ts";

/** Limits of 3 devices per group over a store that counts how often it is asked. */
function start(devices = 0) {
  const clock = new ManualClock();
  const asked: [string, number][] = [];
  const state = { devices, isAway: false };
  const reportStore = {
    async countWithoutToken(deviceGroup: string, most: number) {
      asked.push([deviceGroup, most]);
      if (state.isAway) throw new NebulaError("unavailable", "away");
      return Math.min(state.devices, most);
    },
  };
  return { clock, asked, state, limits: createReportLimits({ reportStore, mostDevices: 3, clock }) };
}

const isFull = (retryAfterMs: number) => (error: unknown) => isNebulaError(error, "resource_exhausted") && error.retryAfterMs === retryAfterMs;

describe("what reports may cost", () => {
  it("L1: a device reports 20 times in a row, then once in 2 s, and a refusal says when", async () => {
    const { limits, clock } = start();
    limits.assertRate("till", 20);
    assert.throws(() => limits.assertRate("till", 1), isFull(2000));
    limits.assertRate("kiosk", 1);
    await clock.advance(2000);
    limits.assertRate("till", 1);
  });

  it("L2: a group admits devices without a token up to its number, counted once a minute, those of the minute added", async () => {
    const { limits, clock, asked, state } = start(1);
    await Promise.all([limits.assertRoom("shops"), limits.assertRoom("shops")]);
    await clock.advance(20_000);
    await assert.rejects(limits.assertRoom("shops"), isFull(COUNTED_MS - 20_000));
    await limits.assertRoom("offices");
    assert.deepEqual(asked, [
      ["shops", 3],
      ["offices", 3],
    ]);
    state.devices = 2; // one of those that were taken in never reported
    await clock.advance(COUNTED_MS - 20_000);
    await limits.assertRoom("shops");
    await assert.rejects(limits.assertRoom("shops"), isFull(COUNTED_MS));
  });

  it("L2: a count that failed is taken again", async () => {
    const { limits, state } = start(1);
    state.isAway = true;
    await assert.rejects(limits.assertRoom("shops"), /away/);
    state.isAway = false;
    await limits.assertRoom("shops");
  });
});

import { strict as assert } from "node:assert";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { createRotationLimit } from "./rotations.ts";

describe("exchanges of a device's token", () => {
  it("exchanges of a device's token are limited to 60 in a row and one more every 10 s, of each device by itself", async () => {
    const clock = new ManualClock();
    const limit = createRotationLimit(clock);
    const refused = (ms: number) => (error: unknown) => isNebulaError(error, "resource_exhausted") && error.retryAfterMs === ms;
    for (let times = 0; times < 60; times++) limit("mad");
    for (let times = 0; times < 3; times++) assert.throws(() => limit("mad"), refused(10_000)); // a refused one counts for nothing
    limit("calm");
    await clock.advance(9_000);
    assert.throws(() => limit("mad"), refused(1000));
    await clock.advance(1_000);
    limit("mad");
    assert.throws(() => limit("mad"), refused(10_000));
    await clock.advance(600_000);
    for (let times = 0; times < 60; times++) limit("mad");
    assert.throws(() => limit("mad"), refused(10_000));
  });

  it("exchanges of tokens are counted for a bounded number of devices", () => {
    const limit = createRotationLimit(new ManualClock());
    for (let times = 0; times < 60; times++) limit("first");
    for (let device = 0; device < 10_000; device++) limit(`d${device}`);
    limit("first"); // forgotten
  });
});

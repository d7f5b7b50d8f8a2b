import { strict as assert } from "node:assert";
import { backoffMs, withJitter } from "./backoff.ts";

describe("back-off", () => {
  it("back-off doubles the wait with each failure, up to the longest", () => {
    const waits = [1, 2, 3, 4, 5, 1000].map((failures) => backoffMs({ firstMs: 1000, longestMs: 10_000 }, failures));
    assert.deepEqual(waits, [1000, 2000, 4000, 8000, 10_000, 10_000]);
    assert.equal(backoffMs({ firstMs: 1, longestMs: Number.POSITIVE_INFINITY }, 10_000), 2 ** 30);
  });

  it("back-off draws half of the wait to all of it", () => {
    assert.deepEqual([withJitter(1000, () => 0), withJitter(1000, () => 1)], [500, 1000]);
    for (let i = 0; i < 100; i++) assert.ok(withJitter(1000) >= 500 && withJitter(1000) < 1000);
  });
});

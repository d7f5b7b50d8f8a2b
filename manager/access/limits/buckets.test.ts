import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { createBuckets } from "./buckets.ts";

const LIMITS = { inARow: 20, oneMoreMs: 2000, most: 3 };

describe("a bucket per key", () => {
  it("a bucket lets a burst pass, then one more at its pace, each key by itself", async () => {
    const clock = new ManualClock();
    const take = createBuckets(LIMITS, clock);
    for (let times = 0; times < 20; times++) assert.equal(take("a"), 0);
    assert.equal(take("a"), 2000);
    assert.equal(take("a"), 2000, "a refused one costs nothing");
    assert.equal(take("b", 20), 0);
    await clock.advance(1500);
    assert.equal(take("a"), 500);
    await clock.advance(500);
    assert.equal(take("a"), 0);
    assert.equal(take("a", 5), 10_000);
  });

  it("a bucket lets more than a burst pass when it is full, and is in debt then", async () => {
    const clock = new ManualClock();
    const take = createBuckets(LIMITS, clock);
    assert.equal(take("a", 100), 0);
    assert.equal(take("a"), 81 * 2000);
    await clock.advance(81 * 2000);
    assert.equal(take("a"), 0);
    assert.equal(take("a", 100), 20 * 2000, "it has to be full for that");
  });

  it("buckets are bounded in number, and the one used longest ago is evicted", () => {
    const take = createBuckets(LIMITS, new ManualClock());
    take("a", 20);
    take("b", 20);
    take("c", 20);
    assert.equal(take("a"), 2000);
    take("d", 20);
    assert.equal(take("b"), 2000);
    assert.equal(take("a", 20), 0, "it was used longest ago");
  });

  it("a bucket never lets more pass in any time than a burst, its debt and its pace allow", async () => {
    const anyStep = fc.record({ cost: fc.integer({ min: 1, max: 100 }), waitMs: fc.integer({ min: 0, max: 30_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 60 }), async (steps) => {
        const clock = new ManualClock();
        const take = createBuckets(LIMITS, clock);
        const begun = clock.monotonic();
        let passed = 0;
        let largest = LIMITS.inARow;
        for (const { cost, waitMs } of steps) {
          if (take("a", cost) === 0) {
            passed += cost;
            largest = Math.max(largest, cost);
          } else {
            await clock.advance(take("a", cost));
            assert.equal(take("a", cost), 0, "it passes after the time that was said");
            passed += cost;
            largest = Math.max(largest, cost);
          }
          assert.ok(passed <= largest + LIMITS.inARow + (clock.monotonic() - begun) / LIMITS.oneMoreMs);
          await clock.advance(waitMs);
        }
      }),
      { numRuns: 100 },
    );
  });
});

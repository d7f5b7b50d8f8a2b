import { strict as assert } from "node:assert";
import { mapLimited } from "./map-limited.ts";

describe("mapLimited", () => {
  it("mapLimited keeps the order of the items and never exceeds the limit", async () => {
    let under = 0;
    let most = 0;
    const results = await mapLimited([5, 4, 3, 2, 1], 2, async (item) => {
      most = Math.max(most, ++under);
      await new Promise((resolve) => setImmediate(resolve));
      under--;
      return item * 2;
    });
    assert.deepEqual([results, most], [[10, 8, 6, 4, 2], 2]);
  });
});

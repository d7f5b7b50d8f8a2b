import { strict as assert } from "node:assert";
import { formatCount, formatShare } from "./format.ts";

describe("numbers of the dashboard", () => {
  it("a count has groups of three digits", () => {
    assert.deepEqual([formatCount(0n), formatCount(999n), formatCount(1_234_567n)], ["0", "999", "1,234,567"]);
  });

  it("a share is 0 or 100 % only where it is all or nothing", () => {
    assert.deepEqual(
      [formatShare(0n, 0n), formatShare(0n, 5n), formatShare(5n, 5n), formatShare(1n, 100_000n), formatShare(99_999n, 100_000n), formatShare(1n, 3n)],
      ["0 %", "0.0 %", "100 %", "<0.1 %", ">99.9 %", "33.3 %"],
    );
  });
});

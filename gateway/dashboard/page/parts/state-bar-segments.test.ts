import { strict as assert } from "node:assert";
import fc from "fast-check";
import { placeSegments } from "./state-bar-segments.ts";

describe("the segments of a bar", () => {
  it("any counts fill the bar from end to end, in order, and each that counts something is seen", () => {
    const counts = fc.array(fc.bigInt({ min: 0n, max: 1_000_000n }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(counts, (counts) => {
        const placed = placeSegments(counts.map((count, index) => ({ state: `s${index}`, count })));
        assert.equal(placed.length, counts.filter((count) => count > 0n).length);
        let end = 0;
        for (const { from, length } of placed) {
          assert.ok(Math.abs(from - end) < 1e-6);
          assert.ok(length >= 1);
          end = from + length;
        }
        if (placed.length > 0) assert.ok(Math.abs(end - 100) < 1e-6, String(end));
      }),
    );
  });

  it("segments are in proportion", () => {
    const lengths = placeSegments([
      { state: "applied", count: 75n },
      { state: "failed", count: 25n },
    ]).map(({ length }) => length);
    assert.deepEqual(lengths, [75, 25]);
  });
});

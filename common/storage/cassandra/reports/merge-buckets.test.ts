import { strict as assert } from "node:assert";
import fc from "fast-check";
import { mergeBuckets, partOf } from "./merge-buckets.ts";

describe("merged buckets", () => {
  it("merged buckets yield each row once, in the order of their keys, in every bucket and with every page size", async () => {
    const anyRows = fc.uniqueArray(fc.record({ key: fc.string({ maxLength: 3 }), bucket: fc.nat(3) }), { selector: ({ key }) => key, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(anyRows, fc.integer({ min: 1, max: 9 }), async (rows, part) => {
        const sorted = rows.map(({ key }) => key).sort();
        let largest = 0;
        const read = async (bucket: number, after: string | undefined, limit: number) => {
          const found = sorted.filter((key) => rows.some((row) => row.key === key && row.bucket === bucket) && (after === undefined || key > after));
          largest = Math.max(largest, limit);
          return found.slice(0, limit);
        };
        const seen: string[] = [];
        for await (const key of mergeBuckets(4, part, read, (row) => row)) seen.push(key);
        assert.deepEqual(seen, sorted);
        assert.equal(largest, part);
      }),
    );
  });

  it("merged buckets reject with the error of a bucket", async () => {
    const read = async (bucket: number) => (bucket === 2 ? Promise.reject(new Error("away")) : []);
    await assert.rejects(mergeBuckets(4, 10, read, String).next(), /away/);
  });

  it("merged buckets are read in parts that suit the page, within bounds", () => {
    assert.deepEqual([partOf(1, 16), partOf(1000, 16), partOf(1000, 1)], [10, 125, 500]);
  });
});

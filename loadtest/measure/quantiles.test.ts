import { strict as assert } from "node:assert";
import fc from "fast-check";
import { median, quantile } from "./quantiles.ts";

describe("quantile", () => {
  it("a quantile is the value by nearest rank", () => {
    const values = [50, 15, 40, 20, 35];
    assert.equal(quantile(values, 0), 15);
    assert.equal(quantile(values, 0.3), 20);
    assert.equal(quantile(values, 0.4), 20);
    assert.equal(quantile(values, 0.5), 35);
    assert.equal(quantile(values, 0.99), 50);
    assert.equal(quantile(values, 1), 50);
    assert.equal(median([3, 1, 2]), 2);
  });

  it("a quantile of no values is not a number", () => {
    assert.ok(Number.isNaN(quantile([], 0.5)));
  });

  it("a quantile is one of the values, with at least the share at or below it, and less than the share below", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), fc.double({ min: 0.001, max: 1, noNaN: true }), (values, q) => {
        const value = quantile(values, q);
        assert.ok(values.includes(value));
        assert.ok(values.filter((other) => other <= value).length >= q * values.length - 1e-9);
        assert.ok(values.filter((other) => other < value).length < q * values.length + 1e-9);
      }),
    );
  });

  it("quantile leaves its input alone", () => {
    const values = [3, 1, 2];
    quantile(values, 0.5);
    assert.deepEqual(values, [3, 1, 2]);
  });
});

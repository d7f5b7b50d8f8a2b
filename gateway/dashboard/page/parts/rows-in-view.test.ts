import { strict as assert } from "node:assert";
import { rowsInView } from "./rows-in-view.ts";

describe("the rows of a table in view", () => {
  const view = { windowHeight: 800, rowHeight: 40, count: 100_000 };

  it("a long table draws the rows in view, and a few around them, wherever it is scrolled", () => {
    assert.deepEqual(rowsInView({ ...view, above: -300 }), { first: 0, last: 25 });
    assert.deepEqual(rowsInView({ ...view, above: 40_000 }), { first: 988, last: 1032 });
    assert.deepEqual(rowsInView({ ...view, above: 4_000_000 - 400 }), { first: 99_978, last: 100_000 });
  });

  it("a table below the window, or above it, draws no rows that do not exist", () => {
    assert.deepEqual(rowsInView({ ...view, count: 5, above: -10_000 }), { first: 0, last: 0 });
    assert.deepEqual(rowsInView({ ...view, count: 5, above: 10_000 }), { first: 5, last: 5 });
  });
});

import { strict as assert } from "node:assert";
import { addSample, curvePoints, type Sample } from "./applied-curve.ts";

const sample = (atMs: number, applied: number, devices = 10): Sample => ({ atMs, applied, devices });
const added = (...all: Sample[]) => all.reduce<readonly Sample[]>(addSample, []);

describe("the curve of devices that applied a change", () => {
  it("a level that lasts keeps its first and its newest sample", () => {
    const samples = added(sample(0, 0), sample(1, 0), sample(2, 0), sample(3, 5), sample(4, 5));
    assert.deepEqual(
      samples.map(({ atMs }) => atMs),
      [0, 2, 3, 4],
    );
  });

  it("a page that is open for long keeps a bounded number of samples, with the first and the newest", () => {
    const samples = added(...Array.from({ length: 5000 }, (_, index) => sample(index, index, 5000)));
    assert.ok(samples.length > 150 && samples.length <= 400, `${samples.length} samples`);
    assert.deepEqual([samples[0]?.atMs, samples.at(-1)?.atMs], [0, 4999]);
  });

  it("the curve rises in steps, from the left of its box to the right, and its top is all devices", () => {
    assert.equal(
      curvePoints(added(sample(1000, 0), sample(2000, 5), sample(3000, 10)), 100, 50),
      "0.0,50.0 50.0,50.0 50.0,25.0 100.0,25.0 100.0,0.0",
    );
  });

  it("one sample is not a curve yet", () => {
    assert.equal(curvePoints(added(sample(1000, 3)), 100, 50), "");
    assert.equal(curvePoints([], 100, 50), "");
  });
});

import { strict as assert } from "node:assert";
import { doubtfulRuns, parseProcessorTime, processorTime, StolenTime } from "./stolen-time.ts";

describe("stolen processor time", () => {
  it("stolen time is read from the line of all processors, guest time counted once", () => {
    const text = "cpu  100 20 30 400 5 6 7 32 90 10\ncpu0 50 10 15 200 2 3 3 16 45 5\nintr 1\n";
    assert.deepEqual(parseProcessorTime(text), { whole: 600, stolen: 32 });
  });

  it("stolen time never falls on this machine, and is a part of the whole", function () {
    if (process.platform !== "linux") this.skip();
    const before = processorTime();
    const end = performance.now() + 50;
    while (performance.now() < end);
    const after = processorTime();
    assert.ok(after.whole > before.whole && after.stolen >= before.stolen && after.stolen < after.whole, JSON.stringify({ before, after }));
  });

  it("stolen time is summed up over the slices of one subject alone", async () => {
    let at = { whole: 0, stolen: 0 };
    const pass = (whole: number, stolen: number) => async () => {
      at = { whole: at.whole + whole, stolen: at.stolen + stolen };
    };
    const [ours, others] = [new StolenTime(() => at), new StolenTime(() => at)];
    for (let slice = 0; slice < 4; slice++) {
      await ours.during(pass(100, slice === 3 ? 10 : 0));
      await others.during(pass(100, 1));
    }
    await assert.rejects(
      ours.during(() => pass(100, 10)().then(() => Promise.reject(new Error("a slice failed")))),
      /a slice failed/,
    );
    assert.equal(ours.share, 20 / 500);
    assert.equal(others.share, 0.01);
    assert.equal(new StolenTime(() => at).share, 0);
  });

  it("stolen time above 2 % marks a run", () => {
    const lines = doubtfulRuns([
      { name: "run 1, nebula", share: 0.0312 },
      { name: "run 1, http2", share: 0.02 },
    ]);
    assert.deepEqual(lines, ["doubtful: run 1, nebula: the host took away 3.1 % of the processor time (more than 2 %)"]);
  });
});

import { strict as assert } from "node:assert";
import { splitProcessors } from "../processes/processors.ts";
import { applyTable, benchApply, goalLines } from "./apply-bench.ts";

describe("the bench of changes", function () {
  this.timeout(60_000);

  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  it("the bench of changes measures a change without reports and with one report of every device", async () => {
    const processors = splitProcessors();
    const runs = await benchApply({
      runs: 1,
      devices: 200,
      apps: 3,
      changes: 2,
      warmUpChanges: 1,
      payloadBytes: 2048,
      settleMs: 100,
      serverProcessors: processors.server,
      fleetProcessors: processors.fleet,
      profile: undefined,
      signal: new AbortController().signal,
      say: () => {},
    });
    assert.equal(runs.length, 1);
    for (const { silent, reporting, cpuUsPerWatch } of runs) {
      const { foldedMs, ...others } = silent;
      const all = JSON.stringify({ silent, reporting });
      assert.ok(Number.isNaN(foldedMs), all);
      assert.ok([...Object.values(others), ...Object.values(reporting), cpuUsPerWatch].every(Number.isFinite), all);
      assert.ok(silent.lastDeviceMs > 0 && silent.halfMs <= silent.lastDeviceMs, all);
      assert.ok(reporting.foldedMs >= reporting.lastDeviceMs, all);
    }
    const table = applyTable(runs);
    assert.ok(table.length > 6 && table.every((line) => !/NaN|undefined/.test(line)), table.join("\n"));
    assert.equal(goalLines(runs).filter((line) => /^(met|missed): /.test(line)).length, 3);
  });
});

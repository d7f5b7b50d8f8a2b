import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { ApplyVerdict, WatchApplyResponseSchema } from "../../gen/nebula/v1/apply_pb.ts";
import { splitProcessors } from "../processes/processors.ts";
import { applyTable, benchApply, goalLines } from "./apply-bench.ts";
import { CHANGE_KINDS } from "./apply-run.ts";
import { assertApplied } from "./apply-streams.ts";

describe("the bench of changes", function () {
  this.timeout(120_000);

  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  it("the bench of changes measures a change without reports, with one report of every device, and with streams that follow it to their verdict", async () => {
    const processors = splitProcessors();
    const runs = await benchApply({
      runs: 1,
      devices: 200,
      apps: 3,
      changes: 2,
      warmUpChanges: 1,
      payloadBytes: 2048,
      reportsOnWatch: true,
      settleMs: 100,
      serverProcessors: processors.server,
      fleetProcessors: processors.fleet,
      profile: undefined,
      signal: new AbortController().signal,
      say: () => {},
    });
    assert.equal(runs.length, 1);
    for (const { changes, cpu, memory, cpuUsPerWatch } of runs) {
      const all = JSON.stringify({ changes, cpu, memory });
      const isMeasured = { foldedMs: ["reporting", "oneStream", "twoStreams"], verdictMs: ["oneStream", "twoStreams"] };
      for (const kind of CHANGE_KINDS) {
        const { foldedMs, verdictMs, ...others } = changes[kind];
        assert.equal(Number.isFinite(foldedMs), isMeasured.foldedMs.includes(kind), all);
        assert.equal(Number.isFinite(verdictMs), isMeasured.verdictMs.includes(kind), all);
        assert.ok(Object.values(others).every(Number.isFinite), all);
        assert.ok(others.lastDeviceMs > 0 && others.halfMs <= others.lastDeviceMs && others.heldP50Ms <= others.heldMaxMs, all);
      }
      assert.ok(changes.reporting.foldedMs >= changes.reporting.halfMs, all);
      assert.ok([...Object.values(cpu), cpuUsPerWatch].every(Number.isFinite) && cpu.push > 0 && cpu.report > 0, all);
      assert.ok(memory.mirrorPerDevice > 100 && memory.mirrorPerDevice < 50_000, all);
    }
    const table = applyTable(runs);
    assert.ok(table.length > 15 && table.every((line) => !/NaN|undefined/.test(line)), table.join("\n"));
    assert.equal(goalLines(runs).filter((line) => /^(met|missed): /.test(line)).length, 5);
  });

  it("a verdict other than that every device of the fleet applied the change fails the run", () => {
    const change = { app: "bench", revision: 7n, devices: 3 };
    const counts = { devices: 3n, applied: 3n, online: 3n, onlineApplied: 3n };
    const last = { counts, groups: 1n, verdict: ApplyVerdict.APPLIED };
    const check = (message: Parameters<typeof create<typeof WatchApplyResponseSchema>>[1]) =>
      assertApplied(create(WatchApplyResponseSchema, message), change);
    check(last);
    assert.throws(() => assertApplied(undefined, change), /UNSPECIFIED/);
    assert.throws(() => check({ ...last, verdict: ApplyVerdict.UNFINISHED }), /revision 7 of bench was to reach 3 devices: APPLY_VERDICT_UNFINISHED/);
    for (const wrong of [{ devices: 2n }, { devices: 4n }, { applied: 2n }, { online: 2n }, { onlineApplied: 2n }])
      assert.throws(() => check({ ...last, counts: { ...counts, ...wrong } }), /was to reach 3 devices/, JSON.stringify(Object.keys(wrong)));
    assert.throws(() => check({ ...last, superseded: [{ name: "bench", revision: 8n }] }), /was to reach 3 devices/);
  });
});

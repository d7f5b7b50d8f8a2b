import { strict as assert } from "node:assert";
import { medianOfRuns } from "./median-of-runs.ts";
import type { Run, RunFigures, SubjectName } from "./run-figures.ts";
import { figuresTable, TABLE_FIGURES } from "./table.ts";

const ANY: RunFigures = {
  connectionsPerSecond: 1,
  bytesPerDevice: 1,
  bytesPerDeviceAfterPushes: 1,
  cpuUsPerWatch: 1,
  cpuUsPerPush: 1,
  lastDeviceMs: 1,
  p50Ms: 1,
  p99Ms: 1,
  fleetBusyPushing: 1,
  fleetBusyReconnecting: 1,
  serverBusyReconnecting: 1,
  reconnectedMs: 1,
  stolenShare: 0,
  beforeStuckLastDeviceMs: 1,
  stuckLastDeviceMs: 1,
  stuckBytesPerDevice: 1,
};

function run(subject: SubjectName, figures: Partial<RunFigures>): Run {
  return { subject, figures: { ...ANY, ...figures } };
}

const RUNS = [
  run("nebula", { lastDeviceMs: 30, cpuUsPerReport: 7 }),
  run("http2", { lastDeviceMs: 5 }),
  run("nebula", { lastDeviceMs: 10, cpuUsPerReport: 9 }),
  run("http2", { lastDeviceMs: 4 }),
  run("nebula", { lastDeviceMs: 20, cpuUsPerReport: 8 }),
  run("http2", { lastDeviceMs: 600 }),
];

describe("medianOfRuns", () => {
  it("medianOfRuns takes each subject's runs, and each figure, by itself", () => {
    const [nebula, http2, ...others] = medianOfRuns(RUNS, ["lastDeviceMs", "cpuUsPerReport"]);
    assert.deepEqual(others, []);
    assert.equal(nebula?.subject, "nebula");
    assert.deepEqual(
      [...(nebula?.figures ?? [])],
      [
        ["lastDeviceMs", 20],
        ["cpuUsPerReport", 8],
      ],
    );
    assert.equal(http2?.subject, "http2");
    assert.deepEqual([...(http2?.figures ?? [])], [["lastDeviceMs", 5]]);
  });
});

describe("figuresTable", () => {
  const lines = figuresTable(medianOfRuns(RUNS, TABLE_FIGURES), "nebula");

  it("figuresTable has a column per subject, and ours by each other", () => {
    assert.match(lines[0] ?? "", /nebula +http2 +nebula \/ http2$/);
    assert.match(lines.find((line) => line.startsWith("ms to the last device")) ?? "", / 20 +5 +4\.00$/);
  });

  it("figuresTable says where a subject has no figure", () => {
    assert.match(lines.find((line) => line.includes("us CPU per push and report")) ?? "", / 8 +- +-$/);
  });
});

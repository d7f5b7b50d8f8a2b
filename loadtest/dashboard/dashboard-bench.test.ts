import { strict as assert } from "node:assert";
import { requireChromium } from "../../common/testing/chromium.ts";
import { splitProcessors } from "../processes/processors.ts";
import { longestTaskIn } from "./bench-tab.ts";
import { dashboardTable, goalLines, WARM_UP } from "./dashboard-bench.ts";
import { type DashboardFigures, MEASURED, mostThatLasts, runDashboard } from "./dashboard-run.ts";

const DEVICES = 120; // more than a page of the API

describe("the bench of the dashboard", function () {
  this.timeout(180_000);
  before(function () {
    if (process.platform !== "linux") this.skip();
    requireChromium(this);
  });

  it("the bench of the dashboard measures when views are shown, their tasks and memory while changes run, and the connections of eight tabs", async () => {
    const processors = splitProcessors();
    const figures = await runDashboard({
      devices: DEVICES,
      paints: 1,
      changes: 1,
      steadyMs: 0,
      everyMs: 100,
      serverProcessors: processors.server,
      fleetProcessors: processors.fleet,
      signal: new AbortController().signal,
      say: () => {},
    });
    for (const name of MEASURED) {
      const { paints, longestTasks, longestCpuMs, heapBytes } = figures.views[name];
      const all = JSON.stringify({ name, paints, longestTasks, heapBytes });
      assert.deepEqual([paints.length, longestTasks.length, heapBytes.length], [1, 1, 2], all);
      assert.ok(
        paints.every(({ paintMs, shownMs }) => paintMs > 0 && shownMs > 0),
        all,
      );
      assert.ok(longestCpuMs.length === 1 && longestCpuMs.every((ms) => ms > 0 && ms < 10_000), String(longestCpuMs));
      assert.ok(longestTasks.every((ms) => ms === 0 || ms >= 50) && heapBytes.every((bytes) => bytes > 100_000), all);
    }
    assert.ok(figures.workerHeapBytes.length === 2 && figures.workerHeapBytes.every((bytes) => bytes > 100_000), String(figures.workerHeapBytes));
    const { connections, streams, allShownMs } = figures.tabs;
    assert.ok(connections >= 2 && connections <= 6 && streams >= 1 && streams <= 2 && allShownMs >= 0, JSON.stringify(figures.tabs));
    const table = dashboardTable(figures);
    assert.ok(table.length > 5 && table.every((line) => !/NaN|undefined|Infinity/.test(line)), table.join("\n"));
  });

  it("streams count that last, and not one that is given up while another one opens", () => {
    const samples = (...counts: number[]) => counts.map((count, index) => ({ atMs: index * 500, count }));
    assert.equal(mostThatLasts(samples(1, 2, 3, 2, 2, 1), 1000), 2);
    assert.equal(mostThatLasts(samples(2, 3, 3, 3, 2), 1000), 3);
    assert.equal(mostThatLasts(samples(5, 5), 1000), 0);
  });

  it("the longest task in a trace is one of a page, by its processor time", () => {
    const thread = (tid: number, name: string) => ({ name: "thread_name", pid: 1, tid, args: { name } });
    const task = (tid: number, tdur: number, name = "RunTask") => ({ name, pid: 1, tid, dur: tdur * 100, tdur });
    const traceEvents = [
      thread(1, "CrRendererMain"),
      thread(2, "Compositor"),
      task(1, 3000),
      task(1, 7000),
      task(2, 90_000),
      task(1, 80_000, "Other"),
    ];
    assert.equal(longestTaskIn(JSON.stringify({ traceEvents })), 7);
    assert.equal(longestTaskIn(JSON.stringify({ traceEvents: [] })), 0);
  });

  it("memory that a page takes in its first changes does not count as growth, and later memory does", () => {
    const bytes = (later: (index: number) => number) =>
      Array.from({ length: 30 }, (_, index) => (index < WARM_UP ? 1000 + 20 * index : later(index)));
    const growth = (heapBytes: readonly number[]) => {
      const view = { paints: [{ paintMs: 1, shownMs: 1 }], longestTasks: [0], longestCpuMs: [0], heapBytes };
      const tabs = { connections: 6, streams: 2, allShownMs: 10 };
      const views = { overview: view, group: view, change: view };
      return goalLines({ views, workerHeapBytes: [1, 1], steadyChanges: 29, tabs, stolenShare: 0, load: [0, 0] })[2] ?? "";
    };
    assert.match(growth(bytes(() => 1200)), /^met: growth .*: 0\.0 %/);
    assert.match(growth(bytes((index) => 1200 + 10 * index)), /^missed: growth /);
  });

  it("a figure above its goal is said to miss it", () => {
    const view = { paints: [{ paintMs: 100, shownMs: 200 }], longestTasks: [0, 60], longestCpuMs: [3, 40], heapBytes: [1000, 1050] };
    const figures: DashboardFigures = {
      views: { overview: view, group: view, change: view },
      ...{ workerHeapBytes: [1000, 1099], steadyChanges: 1, tabs: { connections: 6, streams: 2, allShownMs: 10 }, stolenShare: 0, load: [0, 0] },
    };
    const missed = (of: DashboardFigures) => goalLines(of).filter((line) => line.startsWith("missed: ")).length;
    assert.deepEqual([goalLines(figures).length, missed(figures)], [5, 0]);
    const slow = { paints: [{ paintMs: 100, shownMs: 1501 }], longestTasks: [101], longestCpuMs: [80], heapBytes: [1000, 1101] };
    assert.equal(missed({ ...figures, views: { ...figures.views, group: slow }, tabs: { connections: 7, streams: 3, allShownMs: 10 } }), 5);
  });
});

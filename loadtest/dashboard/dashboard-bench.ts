import { median } from "../measure/quantiles.ts";
import { alignedRows } from "../measure/table.ts";
import { type DashboardFigures, MEASURED, type Measured } from "./dashboard-run.ts";

/** The goals for the dashboard. */
export const GOALS = { shownMs: 1500, taskMs: 100, heapGrowth: 0.1, connections: 6, streams: 2 } as const;

const MB = 1024 * 1024;

/** Changes in which a page still grows as the browser compiles its functions and notes their types: its memory is steady if it does not grow after them. */
export const WARM_UP = 10;

/** The samples that growth is measured in: those after the warm-up, where there are as many more. */
function settled(bytes: readonly number[]): readonly number[] {
  return bytes.length > 2 * WARM_UP ? bytes.slice(WARM_UP) : bytes;
}

/** Lines of the table: a column per view. */
export function dashboardTable({ views, workerHeapBytes }: DashboardFigures): string[] {
  const row = (title: string, figure: (view: DashboardFigures["views"][Measured]) => number, digits = 0) => [
    title,
    ...MEASURED.map((name) => figure(views[name]).toFixed(digits)),
  ];
  const heapRow = (title: string, of: (bytes: readonly number[]) => number | undefined) => [
    ...row(title, ({ heapBytes }) => (of(heapBytes) ?? Number.NaN) / MB, 2),
    ((of(workerHeapBytes) ?? Number.NaN) / MB).toFixed(2),
  ];
  return alignedRows([
    ["", ...MEASURED, "shared worker"],
    row("ms until its first text, median", ({ paints }) => median(paints.map(({ paintMs }) => paintMs))),
    row("ms until its numbers, median", ({ paints }) => median(paints.map(({ shownMs }) => shownMs))),
    row("  the longest", ({ paints }) => Math.max(...paints.map(({ shownMs }) => shownMs))),
    row("ms of its longest task in a change (0: below 50), median", ({ longestTasks }) => median(longestTasks)),
    row("  of all changes", ({ longestTasks }) => Math.max(...longestTasks)),
    row("  ms of processor time in the longest of all", ({ longestCpuMs }) => Math.max(...longestCpuMs)),
    heapRow("MB of its objects at the start", ([start]) => start),
    heapRow("  once it is warm", (bytes) => settled(bytes)[0]),
    heapRow("  at the end", (bytes) => bytes.at(-1)),
    heapRow("  at most", (bytes) => Math.max(...bytes)),
  ]);
}

/** A line for each goal: whether it is met. */
export function goalLines({ views, workerHeapBytes, tabs }: DashboardFigures): string[] {
  const line = (what: string, reached: number, goal: number, unit: string, digits = 0) =>
    `${reached <= goal ? "met" : "missed"}: ${what}: ${reached.toFixed(digits)} ${unit}, goal ${goal.toFixed(digits)} ${unit}`;
  const all = MEASURED.map((name) => views[name]);
  const worst = (figure: (view: DashboardFigures["views"][Measured]) => number) => Math.max(...all.map(figure));
  const growthOf = ([start = Number.NaN, ...later]: readonly number[]) => median(later.slice(-5)) / start - 1;
  const growth = Math.max(...[...all.map(({ heapBytes }) => heapBytes), workerHeapBytes].map(settled).map(growthOf));
  return [
    line(
      "until the numbers of the slowest view",
      worst(({ paints }) => median(paints.map(({ shownMs }) => shownMs))),
      GOALS.shownMs,
      "ms",
    ),
    line(
      "the longest task while a change runs",
      worst(({ longestTasks }) => Math.max(...longestTasks)),
      GOALS.taskMs,
      "ms",
    ),
    line("growth of the objects of a page or the worker once it is warm", growth * 100, GOALS.heapGrowth * 100, "%", 1),
    line("connections of eight tabs", tabs.connections, GOALS.connections, ""),
    line("streams of eight tabs", tabs.streams, GOALS.streams, ""),
  ].map((text) => text.replaceAll(" ,", ",").trimEnd());
}

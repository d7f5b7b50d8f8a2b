import { median } from "../measure/quantiles.ts";
import { alignedRows, ratio } from "../measure/table.ts";
import { type ApplyFigures, type ApplyRunOptions, type ChangeFigures, runApply } from "./apply-run.ts";

export type ApplyBenchOptions = ApplyRunOptions & Readonly<{ runs: number }>;

/** What this machine is to reach, in times of the same change without reports; milliseconds of the event loop. */
export const GOALS = { cpu: 7, lastDevice: 1.5, heldMs: 50 } as const;

type Row = Readonly<{ title: string; figure: keyof ChangeFigures; goal?: number }>;

const ROWS: readonly Row[] = [
  { title: "ms from the write to the last device", figure: "lastDeviceMs", goal: GOALS.lastDevice },
  { title: "  to half of the devices", figure: "halfMs" },
  { title: "  until all statuses are folded", figure: "foldedMs" },
  { title: "us CPU per change and device", figure: "cpuUsPerDevice", goal: GOALS.cpu },
  { title: "ms that the event loop was held, 99 % of its turns", figure: "heldP99Ms" },
  { title: "  the longest turn", figure: "heldMaxMs" },
];

/** Measures `runs` times, each with a server and a fleet of its own. */
export async function benchApply(options: ApplyBenchOptions): Promise<ApplyFigures[]> {
  const runs: ApplyFigures[] = [];
  for (let run = 0; run < options.runs; run++) runs.push(await runApply(options));
  return runs;
}

/** Lines of a table: medians of the runs, of changes without and with reports, their ratio, and the goal where there is one. */
export function applyTable(runs: readonly ApplyFigures[]): string[] {
  const of = (kind: "silent" | "reporting", figure: keyof ChangeFigures) => median(runs.map((run) => run[kind][figure]));
  const show = (value: number | undefined, digits = 1) => (value === undefined || Number.isNaN(value) ? "-" : value.toFixed(digits));
  const rows = ROWS.map(({ title, figure, goal }) => {
    const [silent, reporting] = [of("silent", figure), of("reporting", figure)];
    const times = Number.isNaN(silent) ? undefined : ratio(reporting, silent);
    return [title, show(silent), show(reporting), show(times, 2), show(goal)];
  });
  const connecting = ["us CPU per new watch", show(median(runs.map(({ cpuUsPerWatch }) => cpuUsPerWatch)))];
  return alignedRows([["", "no reports", "all report", "times", "goal"], ...rows, connecting]);
}

/** A line for each goal: whether the medians of the runs meet it. */
export function goalLines(runs: readonly ApplyFigures[]): string[] {
  const of = (figure: (run: ApplyFigures) => number) => median(runs.map(figure));
  const line = (what: string, reached: number, goal: number, unit: string) =>
    `${reached <= goal ? "met" : "missed"}: ${what}: ${reached.toFixed(1)}${unit}, goal ${goal}${unit}`;
  return [
    line(
      "CPU of a change with reports",
      of(({ silent, reporting }) => reporting.cpuUsPerDevice / silent.cpuUsPerDevice),
      GOALS.cpu,
      " times",
    ),
    line(
      "time to the last device with reports",
      of(({ silent, reporting }) => reporting.lastDeviceMs / silent.lastDeviceMs),
      GOALS.lastDevice,
      " times",
    ),
    line(
      "the event loop's longest turn",
      of(({ reporting }) => reporting.heldMaxMs),
      GOALS.heldMs,
      " ms",
    ),
  ];
}

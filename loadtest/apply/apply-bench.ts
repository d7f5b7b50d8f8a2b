import { median } from "../measure/quantiles.ts";
import { alignedRows, ratio } from "../measure/table.ts";
import { type ApplyFigures, type ApplyRunOptions, CHANGE_KINDS, type ChangeFigures, type ChangeKind, type CpuShares, runApply } from "./apply-run.ts";

export type ApplyBenchOptions = ApplyRunOptions & Readonly<{ runs: number }>;

/** The goals for this machine: times of the same change without reports; milliseconds of the event loop; shares of the reports' processor time. */
export const GOALS = { cpu: 7, lastDevice: 1.5, heldMs: 50, stream: 0.1, secondStream: 0.01 } as const;

type Row = Readonly<{ title: string; figure: keyof ChangeFigures; goal?: number }>;

const ROWS: readonly Row[] = [
  { title: "ms from the write to the last device", figure: "lastDeviceMs", goal: GOALS.lastDevice },
  { title: "  to half of the devices", figure: "halfMs" },
  { title: "  until all statuses are folded", figure: "foldedMs" },
  { title: "  until the verdict of WatchApply", figure: "verdictMs" },
  { title: "us CPU per change and device", figure: "cpuUsPerDevice", goal: GOALS.cpu },
  { title: "ms that the event loop was held, half of its turns (p50)", figure: "heldP50Ms" },
  { title: "  99 % of its turns (p99)", figure: "heldP99Ms" },
  { title: "  the longest turn (max)", figure: "heldMaxMs" },
];

const HEADERS: Readonly<Record<ChangeKind, string>> = {
  silent: "no reports",
  reporting: "all report",
  oneStream: "and a stream",
  twoStreams: "two streams",
};

type CpuRow = Readonly<{ title: string; figure: keyof CpuShares; goal?: number }>;

const CPU_ROWS: readonly CpuRow[] = [
  { title: "a push", figure: "push" },
  { title: "a report after it", figure: "report" },
  { title: "a stream and its mirror", figure: "stream", goal: GOALS.stream },
  { title: "a second stream", figure: "secondStream", goal: GOALS.secondStream },
  { title: "presence, of a device that connects", figure: "presence" },
];

/** Measures `runs` times, each with servers and fleets of its own. */
export async function benchApply(options: ApplyBenchOptions): Promise<ApplyFigures[]> {
  const runs: ApplyFigures[] = [];
  for (let run = 0; run < options.runs; run++) runs.push(await runApply(options));
  return runs;
}

/** Lines of the tables: medians of the runs. */
export function applyTable(runs: readonly ApplyFigures[]): string[] {
  return [...changesTable(runs), "", ...cpuTable(runs), "", ...memoryTable(runs)];
}

/** By kind of change, what reports cost in times of the change without, and the goal where there is one. */
function changesTable(runs: readonly ApplyFigures[]): string[] {
  const rows = ROWS.map(({ title, figure, goal }) => {
    const of = (kind: ChangeKind) => median(runs.map(({ changes }) => changes[kind][figure]));
    return [title, ...CHANGE_KINDS.map((kind) => show(of(kind))), show(ratio(of("reporting"), of("silent")), 2), show(goal)];
  });
  return alignedRows([["", ...CHANGE_KINDS.map((kind) => HEADERS[kind]), "reports, times", "goal"], ...rows]);
}

function cpuTable(runs: readonly ApplyFigures[]): string[] {
  const rows = CPU_ROWS.map(({ title, figure, goal }) => [
    title,
    show(median(runs.map(({ cpu }) => cpu[figure]))),
    show(percent(median(runs.map(({ cpu }) => cpu[figure] / cpu.report)))),
    show(percent(goal)),
  ]);
  const connecting = ["a new watch", show(median(runs.map(({ cpuUsPerWatch }) => cpuUsPerWatch)))];
  return alignedRows([["us CPU of the server per device", "", "% of a report", "goal"], ...rows, connecting]);
}

function memoryTable(runs: readonly ApplyFigures[]): string[] {
  const kilobytes = (figure: (run: ApplyFigures) => number) => show(median(runs.map(figure)) / 1024);
  return alignedRows([
    ["KB that a device takes in a mirror", kilobytes(({ memory }) => memory.mirrorPerDevice)],
    ["KB of one more stream", kilobytes(({ memory }) => memory.oneMoreStream)],
  ]);
}

/** A line for each goal: whether the medians of the runs meet it. */
export function goalLines(runs: readonly ApplyFigures[]): string[] {
  const of = (figure: (run: ApplyFigures) => number) => median(runs.map(figure));
  const line = (what: string, reached: number, goal: number, unit: string) =>
    `${reached <= goal ? "met" : "missed"}: ${what}: ${reached.toFixed(2)}${unit}, goal ${goal}${unit}`;
  const times = (figure: "cpuUsPerDevice" | "lastDeviceMs") => of(({ changes: { silent, reporting } }) => reporting[figure] / silent[figure]);
  const longest = of(({ changes }) => Math.max(...CHANGE_KINDS.map((kind) => changes[kind].heldMaxMs)));
  const share = (figure: "stream" | "secondStream") => of(({ cpu }) => cpu[figure] / cpu.report) * 100;
  return [
    line("CPU of a change with reports", times("cpuUsPerDevice"), GOALS.cpu, " times"),
    line("time to the last device with reports", times("lastDeviceMs"), GOALS.lastDevice, " times"),
    line("the event loop's longest turn", longest, GOALS.heldMs, " ms"),
    line("CPU of a stream and its mirror beside the reports'", share("stream"), GOALS.stream * 100, " %"),
    line("CPU of a second stream beside the reports'", share("secondStream"), GOALS.secondStream * 100, " %"),
  ];
}

function percent(share: number | undefined): number | undefined {
  return share === undefined ? undefined : share * 100;
}

function show(value: number | undefined, digits = 1): string {
  return value === undefined || Number.isNaN(value) ? "-" : value.toFixed(digits);
}

import type { Medians } from "./median-of-runs.ts";
import type { FigureName, SubjectName } from "./run-figures.ts";

type Row = Readonly<{
  title: string;
  figure: FigureName;
  scale: number;
  digits: number /** Of a figure that says how good the others are no ratio is shown. */;
  check?: true;
}>;

const ROWS: readonly Row[] = [
  { title: "connections per second", figure: "connectionsPerSecond", scale: 1, digits: 0 },
  { title: "KB per device, before pushes", figure: "bytesPerDevice", scale: 1 / 1024, digits: 1 },
  { title: "KB per device, after pushes", figure: "bytesPerDeviceAfterPushes", scale: 1 / 1024, digits: 1 },
  { title: "us CPU per new watch", figure: "cpuUsPerWatch", scale: 1, digits: 0 },
  { title: "us CPU per push and device", figure: "cpuUsPerPush", scale: 1, digits: 1 },
  { title: "ms to the last device", figure: "lastDeviceMs", scale: 1, digits: 0 },
  { title: "ms to half of them", figure: "p50Ms", scale: 1, digits: 0 },
  { title: "ms to 99 % of them", figure: "p99Ms", scale: 1, digits: 0 },
  { title: "ms until reconnecting devices are back", figure: "reconnectedMs", scale: 1, digits: 0 },
  { title: "60 KB pushes: ms to the last device", figure: "beforeStuckLastDeviceMs", scale: 1, digits: 1 },
  { title: "  the same past stuck devices", figure: "stuckLastDeviceMs", scale: 1, digits: 1 },
  { title: "  KB that a stuck device costs", figure: "stuckBytesPerDevice", scale: 1 / 1024, digits: 0 },
  { title: "all reporting: ms to the last device", figure: "reportsLastDeviceMs", scale: 1, digits: 0 },
  { title: "  ms until all reports are taken", figure: "reportsAllTakenMs", scale: 1, digits: 0 },
  { title: "  us CPU per push and report", figure: "cpuUsPerReport", scale: 1, digits: 0 },
  { title: "% of a processor: the fleet, during pushes", figure: "fleetBusyPushing", scale: 100, digits: 0, check: true },
  { title: "  the fleet, during reconnects", figure: "fleetBusyReconnecting", scale: 100, digits: 0, check: true },
  { title: "  the server, during reconnects", figure: "serverBusyReconnecting", scale: 100, digits: 0, check: true },
  { title: "% of processor time that the host took away", figure: "stolenShare", scale: 100, digits: 1, check: true },
];

export const TABLE_FIGURES: readonly FigureName[] = ROWS.map(({ figure }) => figure);

/** Lines of a table with a column per subject, and `own`'s ratio to each of the others; figures that no subject has are left out. */
export function figuresTable(columns: readonly Medians[], own: SubjectName): string[] {
  const ours = columns.find(({ subject }) => subject === own);
  const peers = ours === undefined ? [] : columns.filter((column) => column !== ours);
  const header = ["", ...columns.map(({ subject }) => subject), ...peers.map(({ subject }) => `${own} / ${subject}`)];
  const measured = ROWS.filter(({ figure }) => columns.some(({ figures }) => figures.has(figure)));
  const rows = measured.map(({ title, figure, scale, digits, check }) => [
    title,
    ...columns.map(({ figures }) => show(figures.get(figure), scale, digits)),
    ...peers.map(({ figures }) => show(check ? undefined : ratio(ours?.figures.get(figure), figures.get(figure)), 1, 2)),
  ]);
  return alignedRows([header, ...rows]);
}

/** Text with the first column to the left, the others to the right. */
export function alignedRows(rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

/** `a` in times of `b`; undefined where one was not measured, or `b` is zero: a short run takes less processor time than one step. */
export function ratio(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

function show(value: number | undefined, scale: number, digits: number): string {
  return value === undefined ? "-" : (value * scale).toFixed(digits);
}

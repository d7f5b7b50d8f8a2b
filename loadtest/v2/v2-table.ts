import { doubtfulRuns } from "../measure/stolen-time.ts";
import { alignedRows } from "../measure/table.ts";
import { medianFigures, POLLED, type V2Figures, type V2Run, WAYS, type Way } from "./v2-bench.ts";

type Row = Readonly<{ title: string; of: (figures: V2Figures) => number; digits: number; ratio?: true }>;

const ROWS: readonly Row[] = [
  { title: "requests per second", of: ({ requestsPerSecond }) => requestsPerSecond, digits: 0 },
  { title: "requests per second of processor time", of: ({ requestsPerCoreSecond }) => requestsPerCoreSecond, digits: 0, ratio: true },
  { title: "p50, ms", of: ({ p50Ms }) => p50Ms, digits: 1 },
  { title: "p99, ms", of: ({ p99Ms }) => p99Ms, digits: 1 },
  { title: "the slowest connection, % of the average", of: ({ slowestShare }) => slowestShare * 100, digits: 0 },
  { title: "ms until each connection was answered once", of: ({ firstAnswersMs }) => firstAnswersMs, digits: 0 },
  { title: "calls to the managers' stores", of: ({ storeCalls }) => storeCalls, digits: 0 },
  { title: "% of a processor: the server", of: ({ serverBusy }) => serverBusy * 100, digits: 0 },
  { title: "  the client", of: ({ clientBusy }) => clientBusy * 100, digits: 0 },
  { title: "% of processor time that the host took away", of: ({ stolenShare }) => stolenShare * 100, digits: 1 },
];

const COLUMNS: Readonly<Record<(typeof POLLED)[number], string>> = {
  bare: "bare node:http",
  admin: "/info, admin",
  password: "a user, password",
  token: "a user, token",
};

/** Lines of a table per way of polling: the bare server, and /info by each login; then a line for each run that is doubtful. */
export function v2Tables(runs: readonly V2Run[]): string[] {
  const tables = WAYS.flatMap((way) => [`${way}:`, ...alignedRows(rowsOf(runs, way)), ""]);
  const named = runs.map(({ way, polled, figures }, at) => ({
    name: `run ${1 + Math.floor(at / (WAYS.length * POLLED.length))}, ${way}, ${COLUMNS[polled]}`,
    share: figures.stolenShare,
  }));
  return [...tables, ...doubtfulRuns(named)];
}

function rowsOf(runs: readonly V2Run[], way: Way): string[][] {
  const columns = POLLED.map((polled) => medianFigures(runs, way, polled));
  const [bare] = columns;
  const rows = ROWS.flatMap(({ title, of, digits, ratio }) => {
    const shown = [title, ...columns.map((figures) => of(figures).toFixed(digits))];
    if (ratio === undefined || bare === undefined) return [shown];
    return [shown, ["  % of the bare server's", ...columns.map((figures) => ((of(figures) / of(bare)) * 100).toFixed(0))]];
  });
  return [["", ...POLLED.map((polled) => COLUMNS[polled])], ...rows];
}

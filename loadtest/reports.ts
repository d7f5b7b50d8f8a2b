import { parseArgs } from "node:util";
import { Registry } from "prom-client";
import { systemClock } from "../common/clock/system-clock.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { silentLog } from "../common/log/log.ts";
import { openDrivers } from "../common/open-drivers.ts";
import type { ReportStore } from "../common/storage/report-store.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/reports/report-store.ts";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { median } from "./measure/quantiles.ts";
import { doubtfulRuns } from "./measure/stolen-time.ts";
import { alignedRows } from "./measure/table.ts";
import { benchReports, MEASURED, type Measured, type ReportsRun } from "./reports-bench.ts";

const HELP = `npm run bench:reports -- --kafka host:9092 [options]

What reports on Kafka cost. Publish: each device has one record in flight, through the driver; beside a producer of kafkajs that sends 500 at a time. Fold: from the
topic to the commit, by a reporter; beside a consumer of kafkajs that reads and writes the same. The kinds take turns, each slice on a topic of its own.

  --kafka HOST:PORT  a broker
  --reports URL      where reports are stored: sqlite: (in memory), or cassandra://host/keyspace, which nebula migrate has made (sqlite:)
  --records N        of a slice (20000)
  --devices N        that they are of (2000)
  --partitions N     of the topic (8)
  --runs N           of which the table shows medians (5)
  --server NAME=PID  a server's process on this machine, whose processor time is shown as well; repeated for more
  --json             every figure of every run, as JSON
`;

await runBench(async () => {
  const { values } = parseArgs({
    options: {
      kafka: { type: "string" },
      reports: { type: "string", default: "sqlite:" },
      records: numberOption("20000"),
      devices: numberOption("2000"),
      partitions: numberOption("8"),
      runs: numberOption("5"),
      server: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  if (values.kafka === undefined) throw new NebulaError("invalid_argument", "--kafka is missing; use --kafka 127.0.0.1:9092");
  const { reports } = values;
  const openStore = () => (reports === "sqlite:" ? openSqliteReportStore({ path: ":memory:" }) : openReportStore(reports));
  const size = {
    records: wholeNumber("records", values.records),
    devices: wholeNumber("devices", values.devices),
    partitions: wholeNumber("partitions", values.partitions),
    runs: wholeNumber("runs", values.runs),
  };
  const servers = Object.fromEntries(values.server.map(serverProcess));
  const runs = await benchReports({ kafka: values.kafka, openStore, ...size, servers, say: (line) => console.error(line) });
  if (values.json) return console.log(JSON.stringify({ size, reports, runs }, undefined, 2));
  console.log(`${size.records} records of ${size.devices} devices on ${size.partitions} partitions into ${reports}, medians of ${size.runs} runs\n`);
  console.log(table(runs, Object.keys(servers)).join("\n"));
});

async function openReportStore(url: string): Promise<ReportStore> {
  const settings = { dataDir: ".", store: url, reports: url, redis: "memory:", bus: "memory:", cacheTimeMs: 10_000, reportTtlMs: 93_600_000 };
  const drivers = await openDrivers(["reportStore"], { settings, clock: systemClock, log: silentLog, registry: new Registry() });
  return { ...drivers.reportStore, [Symbol.asyncDispose]: () => drivers[Symbol.asyncDispose]() };
}

/** `kafka=1234` as a name and a process id. */
function serverProcess(text: string): [name: string, pid: number] {
  const [, name, pid] = /^(\w+)=(\d+)$/.exec(text) ?? [];
  if (name === undefined) throw new NebulaError("invalid_argument", `invalid --server "${text}": use --server kafka=1234`);
  return [name, Number(pid)];
}

function table(runs: readonly ReportsRun[], servers: readonly string[]): string[] {
  const medianOf = (measured: Measured, figure: (run: ReportsRun) => number) => median(runs.filter((run) => run.measured === measured).map(figure));
  const of = (measured: Measured, figure: "recordsPerSecond" | "cpuUsPerRecord") => medianOf(measured, (run) => run[figure]);
  const rows = (["publish", "fold"] as const).map((kind) => {
    const [ours, bare] = [of(kind, "recordsPerSecond"), of(`${kind} bare`, "recordsPerSecond")];
    const [ourCpu, bareCpu] = [of(kind, "cpuUsPerRecord"), of(`${kind} bare`, "cpuUsPerRecord")];
    const ofServers = servers.map((name) => medianOf(kind, ({ serverUsPerRecord }) => serverUsPerRecord[name] ?? 0).toFixed(0));
    return [kind, ours.toFixed(0), bare.toFixed(0), ((ours / bare) * 100).toFixed(0), ourCpu.toFixed(0), bareCpu.toFixed(0), ...ofServers];
  });
  const named = runs.map(({ measured, stolenShare }, at) => ({
    name: `run ${1 + Math.floor(at / MEASURED.length)}, ${measured}`,
    share: stolenShare,
  }));
  const titles = ["", "records/s", "bare kafkajs", "% of it", "us CPU per record", "bare", ...servers.map((name) => `us CPU of ${name}`)];
  return [...alignedRows([titles, ...rows]), "", ...doubtfulRuns(named)];
}

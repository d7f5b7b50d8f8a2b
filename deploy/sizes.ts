import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { messageOf, NebulaError } from "../common/errors/nebula-error.ts";

/**
 * The needs of a cluster for a number of devices, worked out from the figures that docs/performance.md, docs/tls.md and docs/redis.md name.
 * docs/sizing.md explains each line. `npm run sizes -- --devices N` prints the table for N devices, `--write` puts those of SIZES on the page.
 */

export const PAGE = new URL("../docs/sizing.md", import.meta.url);
export const SIZES: readonly number[] = [10_000, 100_000, 1_000_000, 10_000_000];

/** The assumptions about a fleet and its operator; each can be given on the command line. */
export const ASSUMED = {
  /** Devices of a shard, on the average: half of what was measured on one, because device_groups fall unevenly. */
  perShard: 10_000,
  groupDevices: 1000,
  /** Apps and cron_jobs in all. */
  apps: 200,
  /** Changes that reach each device. */
  changesPerDay: 10,
  /** One when the work begins, one with its result. */
  reportsPerChange: 2,
  /** After a change of all devices, until the reports of all are stored, seconds. */
  reportsWithin: 300,
  /** Copies that Cassandra and Kafka keep. */
  copies: 3,
  /** Percent of a processor that is planned for. */
  busy: 50,
  /** Of a stored report and its index rows, bytes. */
  reportBytes: 2000,
  /** Money for a core, and for a GiB of memory, a month: an example. */
  coreMoney: 20,
  gibMoney: 3,
};
export type Assumed = Readonly<typeof ASSUMED>;

/** GiB for a node of Cassandra, a broker of Kafka and a Redis, and of a gateway or reporter: not measured. The last is the limit of the chart. */
const ENGINE_GIB = { cassandra: 16, kafka: 6, redis: 1 };
const SMALL_PART_GIB = 0.5;
/** Processors that the chart requests for a manager. */
export const MANAGER_CORES = 0.5;
const CORES_OF_A_NODE = 8;
const GATEWAYS = 2;
const BASE_MIB = 384;
const LEASE_EVERY_S = 3;
/** How often a shard reads the revisions of what it watches, and the credential of each device. */
const [RECHECK_EVERY_S, CREDENTIAL_EVERY_S] = [10, 3600];
/** Of a rolling upgrade: a shard serves on before it hands its devices over; the next shard follows minReadySeconds of the chart after it is ready. */
const [SERVES_ON_S, JOINS_S] = [6, 10];
const [REPORTS_KEPT_DAYS, TOPIC_DAYS] = [26 / 24, 2];
const IDLE_REPORTS_PER_DAY = 2;

export type Figures = ReturnType<typeof readFigures>;

/** The measured figures, as the pages name them. Throws where a page names one no longer. */
export function readFigures(page: (name: string) => string = (name) => readFileSync(new URL(`../docs/${name}`, import.meta.url), "utf8")) {
  const [performance, tls, redis, kubernetes] = [page("performance.md"), page("tls.md"), page("redis.md"), page("kubernetes.md")];
  const figure = (text: string, pattern: RegExp): number => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`no page names ${pattern}`);
    return Number(found.replaceAll(",", ""));
  };
  const pushAndReportUs = figure(performance, /^\| us CPU per push and device, each reporting after it \| (\d+) /m);
  const pushUs = figure(performance, /^\| us CPU per push and device \| ([\d.]+) /m);
  return {
    deviceKb: figure(performance, /^\| KB per device, after 11 pushes \| ([\d.]+) /m),
    tlsKb: figure(tls, /^About (\d+) KB of a manager's memory/m),
    handshakeUs: 1000 * figure(tls, /a handshake of about ([\d.]+) ms/),
    pushUs,
    watchUs: figure(performance, /^\| CPU per new watch \| \d+ us \| (\d+) us/m),
    reportUs: pushAndReportUs - pushUs,
    publishUs: figure(performance, /^\| publish \| (\d+) us /m),
    foldUs: figure(performance, /^\| fold into Cassandra \| (\d+) us /m),
    kafkaUs: figure(performance, /^\| publish \| \d+ us \| (\d+) us/m) + figure(performance, /^\| fold into Cassandra \| \d+ us \| (\d+) us/m),
    cassandraUs: figure(performance, /^\| fold into Cassandra \| \d+ us \| \d+ us \| (\d+) us/m),
    revisionsPerCoreSecond: (500 * figure(performance, /^\| revisions of 500, 2 callers \| (\d+) /m)) / 2,
    idleMb: figure(performance, /NEBULA_KEEPALIVE=5m.*\| ([\d.]+) MB \|/),
    reportWireBytes: figure(performance, /^\| one report and its answer \| (\d+) bytes/m),
    configKb: figure(performance, /the config has about (\d+) KB/),
    leaseBytes: figure(redis, /^\| leases \| some (\d+) bytes for each shard/m),
    tlsReserveKib: figure(kubernetes, /with TLS (\d+) KiB/),
  };
}

/** The number of devices, and what follows from it. */
export function sizeOf(devices: number, assumed: Assumed, figures: Figures) {
  const { perShard, reportsPerChange, reportsWithin, copies } = assumed;
  const share = assumed.busy / 100;
  const shards = Math.ceil(devices / perShard) + 1;
  const fullest = Math.min(devices, 2 * perShard);
  const shardGib = (BASE_MIB + (fullest * figures.tlsReserveKib) / 1024) / 1024;
  const reports = devices * reportsPerChange;
  const reporters = Math.max(2, Math.ceil((reports * figures.foldUs) / 1e6 / reportsWithin / share));
  const rowsPerSecond = (devices / assumed.groupDevices + shards * assumed.apps) / RECHECK_EVERY_S + devices / CREDENTIAL_EVERY_S;
  const majority = Math.floor(copies / 2) + 1;
  const cassandraBusy = (reports * figures.cassandraUs * copies) / 1e6 / reportsWithin + (rowsPerSecond * majority) / figures.revisionsPerCoreSecond;
  const cassandraCores = Math.max(copies * 2, Math.ceil(cassandraBusy / share));
  const cassandraNodes = Math.max(copies, Math.ceil(cassandraCores / CORES_OF_A_NODE));
  const kafkaCores = Math.max(copies, Math.ceil((reports * figures.kafkaUs * copies) / 1e6 / reportsWithin / share));
  const storedPerDay = devices * (assumed.changesPerDay * reportsPerChange + IDLE_REPORTS_PER_DAY) * assumed.reportBytes * copies;
  const cores = shards * MANAGER_CORES + reporters + GATEWAYS + cassandraCores + kafkaCores + 1;
  const gib =
    shards * shardGib +
    (reporters + GATEWAYS) * SMALL_PART_GIB +
    cassandraNodes * ENGINE_GIB.cassandra +
    copies * ENGINE_GIB.kafka +
    ENGINE_GIB.redis;
  return {
    shards,
    shardGib,
    inUseGib: (devices * (figures.deviceKb + figures.tlsKb)) / 1024 ** 2,
    reporters,
    rowsPerSecond,
    reportsPerSecond: reports / reportsWithin,
    cassandraCores,
    cassandraNodes,
    kafkaCores,
    cassandraGb: (storedPerDay * REPORTS_KEPT_DAYS) / 1e9,
    kafkaGb: (storedPerDay * TOPIC_DAYS) / 1e9,
    leasesMbPerSecond: (shards ** 2 * figures.leaseBytes) / LEASE_EVERY_S / 1e6,
    idleMbitPerSecond: (devices * figures.idleMb * 8) / (30 * 86_400),
    changeGb: (devices * (figures.configKb * 1024 + reportsPerChange * figures.reportWireBytes)) / 1e9,
    pushSeconds: (fullest * figures.pushUs) / 1e6,
    reportSeconds: (fullest * reportsPerChange * (figures.reportUs + figures.publishUs)) / 1e6,
    reconnectSeconds: (fullest * (figures.watchUs + figures.handshakeUs)) / 1e6,
    upgradeMinutes: (shards * (SERVES_ON_S + perShard / 500 + JOINS_S)) / 60,
    cores,
    gib,
    money: cores * assumed.coreMoney + gib * assumed.gibMoney,
  };
}
type Size = ReturnType<typeof sizeOf>;

const ROWS: readonly (readonly [title: string, show: (size: Size) => string])[] = [
  ["shards, one of them spare", ({ shards }) => whole(shards)],
  ["GiB reserved for each", ({ shardGib }) => round(shardGib)],
  ["GiB in use by connected devices, all shards", ({ inUseGib }) => round(inUseGib)],
  ["reporters", ({ reporters }) => whole(reporters)],
  ["reports a second after a change of all", ({ reportsPerSecond }) => whole(reportsPerSecond)],
  ["rows of Cassandra that are read a second, always", ({ rowsPerSecond }) => whole(rowsPerSecond)],
  ["Cassandra: cores in all; nodes", ({ cassandraCores, cassandraNodes }) => `${whole(cassandraCores)}; ${whole(cassandraNodes)}`],
  ["Cassandra: GB of reports on disk, all copies", ({ cassandraGb }) => round(cassandraGb)],
  ["Kafka: cores in all, on 3 brokers", ({ kafkaCores }) => whole(kafkaCores)],
  ["Kafka: GB on disk, all copies", ({ kafkaGb }) => round(kafkaGb)],
  ["Redis: MB a second for leases", ({ leasesMbPerSecond }) => round(leasesMbPerSecond)],
  ["network of idle devices, Mbit/s", ({ idleMbitPerSecond }) => round(idleMbitPerSecond)],
  ["network of a change of all, GB", ({ changeGb }) => round(changeGb)],
  ["s until the fullest shard has sent a change", ({ pushSeconds }) => round(pushSeconds)],
  ["s until it has taken the reports of it", ({ reportSeconds }) => round(reportSeconds)],
  ["s until all its devices are back, if all come at once", ({ reconnectSeconds }) => round(reconnectSeconds)],
  ["min for a rolling upgrade of the shards", ({ upgradeMinutes }) => round(upgradeMinutes)],
  ["cores in all; GiB of memory in all", ({ cores, gib }) => `${whole(cores)}; ${whole(gib)}`],
  ["money a month, example", ({ money }) => whole(money)],
];

/** The table of these sizes, in Markdown. */
export function sizesTable(sizes: readonly number[], assumed: Assumed, figures: Figures): string {
  const worked = sizes.map((devices) => sizeOf(devices, assumed, figures));
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const lines = ROWS.map(([title, show]) => row([title, ...worked.map(show)]));
  return [row(["devices", ...sizes.map(whole)]), `|${"---|".repeat(1 + sizes.length)}`, ...lines].join("\n");
}

function whole(number: number): string {
  return Math.ceil(number).toLocaleString("en");
}

function round(number: number): string {
  return number >= 10 ? Math.round(number).toLocaleString("en") : number.toPrecision(2);
}

/** The page with the table between its marks replaced. */
export function withTable(page: string, table: string): string {
  const marks = /(<!-- sizes: .* -->\n)[\s\S]*?(<!-- end of sizes -->)/;
  if (!marks.test(page)) throw new Error("the page has no marks for the table");
  return page.replace(marks, (_, begin: string, end: string) => `${begin}${table}\n${end}`);
}

const HELP = `npm run sizes -- [options]

What a cluster of N devices needs. docs/sizing.md explains each line and each assumption; a number in brackets is what is assumed.

  --devices N,M      columns of the table (${SIZES.join(",")})
${Object.entries(ASSUMED)
  .map(([name, value]) => `  --${name.padEnd(17)}(${value})`)
  .join("\n")}
  --write            puts the table of docs/sizing.md on that page
`;

/** Runs the command line. Throws what is wrong with it. */
function printSizes(): void {
  const options: Record<string, { type: "string" | "boolean"; default?: string }> = {
    devices: { type: "string", default: SIZES.join(",") },
    write: { type: "boolean" },
    help: { type: "boolean" },
  };
  for (const [name, value] of Object.entries(ASSUMED)) options[name] = { type: "string", default: String(value) };
  const { values } = parseArgs({ options });
  if (values.help === true) {
    console.log(HELP);
    return;
  }
  const numberOf = (name: string, text: unknown): number => {
    if (Number(text) > 0) return Number(text);
    throw new NebulaError("invalid_argument", `invalid --${name} "${text}": use a number above 0`);
  };
  const given = { ...ASSUMED };
  for (const name of Object.keys(ASSUMED) as (keyof Assumed)[]) given[name] = numberOf(name, values[name]);
  const sizes = String(values.devices).split(",");
  const figures = readFigures();
  console.log(
    sizesTable(
      sizes.map((devices) => numberOf("devices", devices)),
      given,
      figures,
    ),
  );
  if (values.write === true) writeFileSync(PAGE, withTable(readFileSync(PAGE, "utf8"), sizesTable(SIZES, ASSUMED, figures)));
}

if (import.meta.main) {
  try {
    printSizes();
  } catch (error) {
    console.error(messageOf(error));
    process.exitCode = 1;
  }
}

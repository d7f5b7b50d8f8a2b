import { parseArgs } from "node:util";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { doubtfulRuns } from "./measure/stolen-time.ts";
import { alignedRows, figuresTable } from "./measure/table.ts";
import { splitProcessors, stayOn } from "./processes/processors.ts";
import { cassandraAddress } from "./servers/bench-keyspace.ts";
import { benchShards, type Goal, goalsOf } from "./shards/shards-bench.ts";

const HELP = `npm run bench:shards -- --store cassandra://host:9042 --redis redis://host:6379 [options]

What a shard costs: two \`nebula manager\` on Cassandra and Redis, where the devices are at one and the API is called at the other, and in the same run
\`nebula server\` with its embedded drivers. They take turns in slices. Then the hand-over: all devices of two shards move to a third that joins, and back when
it drains. A keyspace is made for it, and dropped. Linux only.

  --store URL        NEBULA_STORE without a keyspace: cassandra://host:9042
  --redis URL        NEBULA_REDIS: redis://host:6379
  --devices N        connected devices of each subject (5000)
  --moving N         devices that move when a shard joins or drains (5000)
  --runs N           of which the table shows medians, and joins and drains (5)
  --only PART        watches or hand-over
  --pushes N         pushes per run (11)
  --payload BYTES    size of the config (2048)
  --reconnecting N   devices that drop and come back during pushes (1000)
  --json             every figure of every run, as JSON
`;

/** A push of the shards runs more code than one of the embedded server, and a few of them measure its compilation. */
const WARM_UP_PUSHES = 30;

await runBench(async (signal) => {
  const { values } = parseArgs({
    options: {
      store: { type: "string", default: "" },
      redis: { type: "string", default: "" },
      devices: numberOption("5000"),
      moving: numberOption("5000"),
      only: { type: "string" },
      runs: numberOption("5"),
      pushes: numberOption("11"),
      payload: numberOption("2048"),
      reconnecting: numberOption("1000"),
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const cassandra = cassandraAddress(values.store);
  if (cassandra === undefined) throw new NebulaError("invalid_argument", `invalid --store "${values.store}": use cassandra://host:9042`);
  if (!values.redis.startsWith("redis://")) throw new NebulaError("invalid_argument", `invalid --redis "${values.redis}": use redis://host:6379`);
  const { only } = values;
  if (only !== undefined && only !== "watches" && only !== "hand-over")
    throw new NebulaError("invalid_argument", `invalid --only "${only}": use watches or hand-over`);
  const processors = splitProcessors();
  stayOn(processors.fleet); // the servers have their own to themselves
  const devices = wholeNumber("devices", values.devices);
  const wanted = wholeNumber("runs", values.runs);
  const size = {
    devices,
    moving: wholeNumber("moving", values.moving),
    runs: only === "hand-over" ? 0 : wanted,
    handOvers: only === "watches" ? 0 : wanted,
    pushes: wholeNumber("pushes", values.pushes),
    reconnecting: Math.min(wholeNumber("reconnecting", values.reconnecting), devices),
    payloadBytes: wholeNumber("payload", values.payload),
  };
  const bench = await benchShards({
    ...size,
    cassandra,
    redis: values.redis,
    warmUpPushes: WARM_UP_PUSHES,
    settleMs: 500,
    serverProcessors: processors.server,
    fleetProcessors: processors.fleet,
    signal,
    say: (line) => console.error(line),
  });
  const goals = goalsOf(bench);
  const { runs, medians, handOvers } = bench;
  if (values.json) {
    const named = medians.map(({ subject, figures }) => ({ subject, figures: Object.fromEntries(figures) }));
    return console.log(JSON.stringify({ size, medians: named, runs, handOvers, goals }, undefined, 2));
  }
  console.log(`${devices} devices, ${size.payloadBytes} bytes to each, medians of ${size.runs} runs of ${size.pushes} pushes;`);
  console.log(`${size.moving} devices that move, medians of ${size.handOvers} joins and drains\n`);
  if (runs.length > 0) console.log(figuresTable(medians, "shards").join("\n"));
  console.log(`\n${goalLines(goals).join("\n")}`);
  const named = [
    ...runs.map(({ subject, figures }, at) => ({ name: `run ${1 + Math.floor(at / 2)}, ${subject}`, share: figures.stolenShare })),
    ...handOvers.map(({ kind, stolenShare }, at) => ({ name: `hand-over ${1 + Math.floor(at / 2)}, ${kind}`, share: stolenShare })),
  ];
  for (const line of doubtfulRuns(named)) console.log(line);
});

function goalLines(goals: readonly Goal[]): string[] {
  const shown = (value: number, limit: number) => value.toFixed(limit < 10 ? 2 : 0);
  const rows = goals.map(({ what, value, limit, unit }) => {
    return [what, shown(value, limit), unit, `goal ${shown(limit, limit)}`, value <= limit ? "met" : "missed"];
  });
  return alignedRows(rows);
}

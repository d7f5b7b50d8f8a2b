import { parseArgs } from "node:util";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { SUBJECT_NAMES, type WatchSubjectName } from "./measure/run-figures.ts";
import { doubtfulRuns } from "./measure/stolen-time.ts";
import { figuresTable } from "./measure/table.ts";
import { splitProcessors, stayOn } from "./processes/processors.ts";
import { idleTrafficLines, measureIdleTraffic } from "./watch/idle-traffic.ts";
import { benchStorm, stormLines } from "./watch/reconnect-storm.ts";
import { benchWatches, subjectsHere } from "./watch/watch-bench.ts";

const HELP = `npm run bench:watch -- [options]

What very many watches cost: a manager, and in the same run, by the same client, a bare node:http2 server that sends the same bytes, and NATS where
nats-server is installed. They take turns in short slices, in which the others are idle. Each server stays on one processor, the fleet of light devices on the others. All of it on the loopback address. Linux only.

  --devices N        connected devices (19900)
  --runs N           runs, of which the table shows medians (3)
  --pushes N         pushes per run (11)
  --payload BYTES    size of the config (2048)
  --reconnecting N   devices that drop and come back during pushes (2000)
  --only A,B         of ${SUBJECT_NAMES.join(", ")}
  --storm            the cost of presence instead: all devices reconnect at once, on a manager with it and on one without, in turns
  --pings N          pings, 2 s apart, by which the traffic of an idle device is counted (100)
  --no-traffic       leave that out
  --json             every figure of every run, as JSON
`;

await runBench(async (signal) => {
  const { values } = parseArgs({
    options: {
      devices: numberOption("19900"),
      runs: numberOption("3"),
      pushes: numberOption("11"),
      payload: numberOption("2048"),
      reconnecting: numberOption("2000"),
      only: { type: "string" },
      pings: numberOption("100"),
      storm: { type: "boolean", default: false },
      traffic: { type: "boolean", default: true },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
    allowNegative: true,
  });
  if (values.help) return console.log(HELP);

  const processors = splitProcessors();
  stayOn(processors.fleet); // the server has its own to itself
  const devices = wholeNumber("devices", values.devices);
  if (values.storm) {
    const rounds = wholeNumber("runs", values.runs);
    const say = (line: string) => console.error(line);
    const parts = { devices, rounds, settleMs: 500, serverProcessors: processors.server, fleetProcessors: processors.fleet, signal, say };
    const result = await benchStorm(parts);
    if (values.json) return console.log(JSON.stringify({ devices, rounds, result }, undefined, 2));
    return console.log(`${devices} devices, medians of ${rounds} runs\n\n${stormLines(result).join("\n")}`);
  }
  const options = {
    devices,
    runs: wholeNumber("runs", values.runs),
    pushes: wholeNumber("pushes", values.pushes),
    reconnecting: Math.min(wholeNumber("reconnecting", values.reconnecting), devices),
    subjects: chosenSubjects(values.only),
    payloadBytes: wholeNumber("payload", values.payload),
    pings: wholeNumber("pings", values.pings),
  };
  const { runs, medians } = await benchWatches({
    ...options,
    settleMs: 500,
    pushesToFill: 120,
    fleetProcessors: processors.fleet,
    subject: { payloadBytes: options.payloadBytes, processors: processors.server, signal },
    signal,
    say: (line) => console.error(line),
  });
  const traffic = values.traffic
    ? await measureIdleTraffic({ pings: options.pings, everyMs: 2000, processors: processors.fleet, signal })
    : undefined;

  if (values.json) {
    const named = medians.map(({ subject, figures }) => ({ subject, figures: Object.fromEntries(figures) }));
    return console.log(JSON.stringify({ options, medians: named, runs, traffic }, undefined, 2));
  }
  const where =
    processors.server === undefined ? "all on one processor" : `the server on processor ${processors.server}, the fleet on ${processors.fleet}`;
  console.log(`${devices} devices, ${options.payloadBytes} bytes to each, medians of ${options.runs} runs of ${options.pushes} pushes, ${where}\n`);
  console.log(figuresTable(medians, "nebula").join("\n"));
  const named = runs.map(({ subject, figures }, at) => ({
    name: `run ${1 + Math.floor(at / options.subjects.length)}, ${subject}`,
    share: figures.stolenShare,
  }));
  for (const line of doubtfulRuns(named)) console.log(line);
  if (traffic !== undefined) console.log(`\n${idleTrafficLines(traffic).join("\n")}`);
});

function chosenSubjects(only: string | undefined): readonly WatchSubjectName[] {
  const here = subjectsHere();
  if (!here.includes("nats")) console.error("nats-server is not installed: its column is missing (Debian: apt-get install nats-server)");
  if (only === undefined) return here;
  const wanted = only.split(",");
  const unknown = wanted.find((name) => !here.some((known) => known === name));
  if (unknown !== undefined) throw new NebulaError("invalid_argument", `--only ${unknown}: of ${here.join(", ")}`);
  return here.filter((name) => wanted.includes(name));
}

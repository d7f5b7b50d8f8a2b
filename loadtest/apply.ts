import { parseArgs } from "node:util";
import { applyTable, benchApply, goalLines } from "./apply/apply-bench.ts";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { doubtfulRuns } from "./measure/stolen-time.ts";
import { splitProcessors, stayOn } from "./processes/processors.ts";

const HELP = `npm run bench:apply -- [options]

What a change costs that every device reports on, beside the same change without reports, and with one and two streams of WatchApply that follow it to their
verdict: the four take turns on one server, with the same fleet. Each device is enrolled, watches over gRPC with its own token, and answers the config with one
report. A server that does not write presence has the same devices connect before. The server stays on one processor, the fleet of light devices on the others.
All of it on the loopback address. Linux only.

  --devices N      connected devices (19900)
  --apps N         apps of their device_group, of which one is changed; a report names all (1)
  --changes N      changes of each kind that count (5)
  --warm-up N      changes of each kind before those (2)
  --runs N         runs, of which the table shows medians (3)
  --by-call        devices report by calls of their own, as workers of earlier releases do, not on the streams of their watches
  --payload BYTES  size of the config (2048)
  --profile FILE   write a CPU profile of the server during one more change of each kind
  --json           every figure of every run, as JSON
`;

await runBench(async (signal) => {
  const { values } = parseArgs({
    options: {
      devices: numberOption("19900"),
      apps: numberOption("1"),
      changes: numberOption("5"),
      "warm-up": numberOption("2"),
      runs: numberOption("3"),
      payload: numberOption("2048"),
      "by-call": { type: "boolean", default: false },
      profile: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);

  const processors = splitProcessors();
  stayOn(processors.fleet); // the server has its own to itself
  const options = {
    devices: wholeNumber("devices", values.devices),
    apps: wholeNumber("apps", values.apps),
    changes: wholeNumber("changes", values.changes),
    warmUpChanges: wholeNumber("warm-up", values["warm-up"]),
    runs: wholeNumber("runs", values.runs),
    payloadBytes: wholeNumber("payload", values.payload),
    reportsOnWatch: !values["by-call"],
  };
  const runs = await benchApply({
    ...options,
    settleMs: 500,
    serverProcessors: processors.server,
    fleetProcessors: processors.fleet,
    profile: values.profile,
    signal,
    say: (line) => console.error(line),
  });
  if (values.json) return console.log(JSON.stringify({ options, runs }, undefined, 2));
  const where =
    processors.server === undefined ? "all on one processor" : `the server on processor ${processors.server}, the fleet on ${processors.fleet}`;
  const { devices, apps, payloadBytes, changes } = options;
  console.log(`${devices} devices, ${apps} apps, ${payloadBytes} bytes to each, medians of ${options.runs} runs of ${changes} changes, ${where}\n`);
  console.log(applyTable(runs).join("\n"));
  console.log(`\n${goalLines(runs).join("\n")}`);
  for (const line of doubtfulRuns(runs.map(({ stolenShare }, at) => ({ name: `run ${at + 1}`, share: stolenShare })))) console.log(line);
});

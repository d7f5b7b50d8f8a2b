import { parseArgs } from "node:util";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { splitProcessors, stayOn } from "./processes/processors.ts";
import { benchV2 } from "./v2/v2-bench.ts";
import { v2Tables } from "./v2/v2-table.ts";

const HELP = `npm run bench:v2 -- [options]

What the polls of old workers cost: GET /api/v2/device_groups/X/info through the gateway with authentication on, and in the same run, by the same client, a
bare node:http server that answers the same bytes; on connections that are kept and with one per request; logged in as the configuration's admin and as a user of
the store. They take turns in slices of a second, once each connection was answered. The servers stay on one processor, the client and the managers on the others. All of it on the loopback address. Linux only.

  --connections N    clients that poll at a time (500)
  --runs N           runs, of which the tables show medians (3)
  --seconds N        that a run measures (5)
  --json             every figure of every run, as JSON
`;

await runBench(async (signal) => {
  const { values } = parseArgs({
    options: {
      connections: numberOption("500"),
      runs: numberOption("3"),
      seconds: numberOption("5"),
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const processors = splitProcessors();
  stayOn(processors.fleet); // the server has its own to itself
  const [connections, runCount, seconds] = [
    wholeNumber("connections", values.connections),
    wholeNumber("runs", values.runs),
    wholeNumber("seconds", values.seconds),
  ];
  const options = { connections, runs: runCount, warmUpMs: 1500, measureMs: seconds * 1000, sliceMs: 1000 };
  const { runs, bodyBytes } = await benchV2({ ...options, processors, signal, say: (line) => console.error(line) });
  if (values.json) return console.log(JSON.stringify({ options, bodyBytes, runs }, undefined, 2));
  const where =
    processors.server === undefined
      ? "all on one processor"
      : `the servers on processor ${processors.server}, client and managers on ${processors.fleet}`;
  console.log(`${connections} clients, answers of ${bodyBytes} bytes, medians of ${runCount} runs of ${seconds} s, ${where}\n`);
  console.log(v2Tables(runs).join("\n"));
});

import { parseArgs } from "node:util";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { quantile } from "./measure/quantiles.ts";
import { doubtfulRuns } from "./measure/stolen-time.ts";
import { alignedRows } from "./measure/table.ts";
import { benchWorker } from "./worker/worker-bench.ts";

const HELP = `npm run bench:worker -- [options]

What a worker takes: resident memory and CPU while nothing changes, on a real Docker Engine with some containers, and the time from the API's answer to a
change until the container runs. The worker is the one file that npm run build makes, with the flags that it is started with. Linux only.

  --seconds N        how long it is looked at while nothing changes (300)
  --pushes N         changes, one at a time (20)
  --containers N     containers, of one app each (10)
  --image IMAGE      an image with a shell that is on the engine (busybox:1)
  --engine URL       the engine (docker:///var/run/docker.sock)
  --source           run the worker from its source instead
  --json             the figures as JSON
`;

const MEBIBYTE = 1024 * 1024;

await runBench(async (signal) => {
  const { values } = parseArgs({
    options: {
      seconds: numberOption("300"),
      pushes: numberOption("20"),
      containers: numberOption("10"),
      image: { type: "string", default: "busybox:1" },
      engine: { type: "string", default: "docker:///var/run/docker.sock" },
      source: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const options = {
    seconds: wholeNumber("seconds", values.seconds),
    pushes: wholeNumber("pushes", values.pushes),
    containers: wholeNumber("containers", values.containers),
    engine: values.engine,
    image: values.image,
    program: values.source ? ("source" as const) : ("bundled" as const),
  };
  const figures = await benchWorker({ ...options, signal, say: (line) => console.error(line) });
  if (values.json) return console.log(JSON.stringify({ options, figures }, undefined, 2));

  const { convergedBytes, idleBytes, startCpuMs, idleCpuMs, pushToRunningMs, stolenShare } = figures;
  console.log(`a worker (${options.program}) with ${options.containers} containers\n`);
  const rows = [
    ["MB resident, once they run", (convergedBytes / MEBIBYTE).toFixed(1)],
    [`MB resident, ${options.seconds} s later`, (idleBytes / MEBIBYTE).toFixed(1)],
    ["s of CPU from its start until they run", (startCpuMs / 1000).toFixed(2)],
    [`s of CPU in ${options.seconds} s without a change`, (idleCpuMs / 1000).toFixed(2)],
    [`ms from the API's answer to the running container, median of ${options.pushes}`, quantile(pushToRunningMs, 0.5).toFixed(0)],
    ["  quickest and slowest", `${quantile(pushToRunningMs, 0).toFixed(0)}, ${quantile(pushToRunningMs, 1).toFixed(0)}`],
    ["% of processor time that the host took away", (stolenShare * 100).toFixed(1)],
  ];
  console.log(alignedRows(rows).join("\n"));
  for (const line of doubtfulRuns([{ name: "the worker", share: stolenShare }])) console.log(line);
});

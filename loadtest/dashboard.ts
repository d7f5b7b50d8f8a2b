import { parseArgs } from "node:util";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { dashboardTable, goalLines } from "./dashboard/dashboard-bench.ts";
import { runDashboard } from "./dashboard/dashboard-run.ts";
import { doubtfulRuns } from "./measure/stolen-time.ts";
import { splitProcessors, stayOn } from "./processes/processors.ts";

const HELP = `npm run bench:dashboard -- [options]

What the dashboard costs a browser whose fleet is one large device_group: how long a view takes until its numbers are shown, the longest task of its page while
a change runs that every device reports on, the memory of its page while changes follow one another, and the connections of eight tabs. The server stays on one
processor; the browser, the fleet of light devices and the bench share the others. All of it on the loopback address. Linux only.

  --devices N    connected devices, all in one device_group (19000)
  --paints N     times that each view is opened (5)
  --changes N    changes that are followed on each view (5)
  --minutes N    how long changes follow one another while memory is watched (5)
  --every N      seconds between two of these changes (5)
  --json         every figure, as JSON
`;

await runBench(async (signal) => {
  const { values } = parseArgs({
    options: {
      devices: numberOption("19000"),
      paints: numberOption("5"),
      changes: numberOption("5"),
      minutes: numberOption("5"),
      every: numberOption("5"),
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const processors = splitProcessors();
  stayOn(processors.fleet); // the server has its own to itself
  const options = {
    devices: wholeNumber("devices", values.devices),
    paints: wholeNumber("paints", values.paints),
    changes: wholeNumber("changes", values.changes),
    steadyMs: wholeNumber("minutes", values.minutes) * 60_000,
    everyMs: wholeNumber("every", values.every) * 1000,
  };
  const figures = await runDashboard({
    ...options,
    serverProcessors: processors.server,
    fleetProcessors: processors.fleet,
    signal,
    say: (line) => console.error(line),
  });
  if (values.json) return console.log(JSON.stringify({ options, figures }, undefined, 2));
  const where =
    processors.server === undefined
      ? "the server, the browser and the fleet shared one processor"
      : `the server was on processor ${processors.server}; the browser, the fleet and the bench shared ${processors.fleet}`;
  const { devices, paints, changes } = options;
  console.log(`${devices} devices in one device_group, ${paints} times each view, ${changes} changes on each; ${where};`);
  console.log(`the load of the machine was ${figures.load.map((load) => load.toFixed(1)).join(" at the start, ")} at the end\n`);
  console.log(dashboardTable(figures).join("\n"));
  const { tabs, steadyChanges } = figures;
  console.log(`\n${steadyChanges} changes in ${values.minutes} min while the memory was watched`);
  console.log(
    `eight tabs: ${tabs.connections} connections, ${tabs.streams} streams; all showed a change ${tabs.allShownMs.toFixed(0)} ms after its last report\n`,
  );
  for (const line of [...goalLines(figures), ...doubtfulRuns([{ name: "the run", share: figures.stolenShare }])]) console.log(line);
});

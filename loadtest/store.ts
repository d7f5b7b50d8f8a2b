import { parseArgs } from "node:util";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";
import { median } from "./measure/quantiles.ts";
import { alignedRows } from "./measure/table.ts";
import { cassandraAddress } from "./servers/bench-keyspace.ts";
import { benchStore, OPERATIONS, type StoreSlice } from "./store-bench.ts";

const HELP = `npm run bench:store -- --store cassandra://host:9042 [options]

What the config store costs on top of Cassandra: writes, reads, revisions of 500 entities and reads of 500 entities, and in the same run the same prepared
statements by the bare driver, with the same concurrency and consistency. They take turns in slices. A keyspace is made for it, and dropped.

  --store URL        NEBULA_STORE without a keyspace: cassandra://host:9042
  --slices N         slices of each, of which the table shows medians (5)
  --seconds N        that a slice takes (2)
  --json             every figure of every slice, as JSON
`;

await runBench(async (signal) => {
  const { values } = parseArgs({
    options: {
      store: { type: "string", default: "" },
      slices: numberOption("5"),
      seconds: numberOption("2"),
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const address = cassandraAddress(values.store);
  if (address === undefined) throw new NebulaError("invalid_argument", `invalid --store "${values.store}": use cassandra://host:9042`);
  const [slices, seconds] = [wholeNumber("slices", values.slices), wholeNumber("seconds", values.seconds)];
  const measured = await benchStore({ address, slices, sliceMs: seconds * 1000, signal, say: (line) => console.error(line) });
  if (values.json) return console.log(JSON.stringify(measured, undefined, 2));
  const of = (operation: string, by: StoreSlice["by"], figure: "perSecond" | "p99Ms") =>
    median(measured.filter((slice) => slice.operation === operation && slice.by === by).map((slice) => slice[figure]));
  const rows = OPERATIONS.map((operation) => {
    const [ours, bare] = [of(operation, "store", "perSecond"), of(operation, "bare", "perSecond")];
    const [p99, bareP99] = [of(operation, "store", "p99Ms"), of(operation, "bare", "p99Ms")];
    return [
      operation,
      ours.toFixed(0),
      bare.toFixed(0),
      `${((100 * ours) / bare).toFixed(0)} %`,
      p99.toFixed(1),
      bareP99.toFixed(1),
      (p99 / bareP99).toFixed(2),
    ];
  });
  console.log(alignedRows([["", "store, 1/s", "bare, 1/s", "rate", "p99, ms", "bare p99", "ratio"], ...rows]).join("\n"));
});

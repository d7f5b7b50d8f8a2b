import { Counter, Histogram, type Registry } from "prom-client";

export type StoreLabels = Readonly<{ table: string; kind: string; consistency: string }>;

/** The outcome of a conditional write without an answer once it is repeated; `unknown`: the time for it was over first. */
export type Settled = "written" | "conflict" | "unknown";

/** The metrics of the client of a store. */
export type StoreMetrics = {
  requested(labels: StoreLabels, seconds: number, result: "ok" | "failed"): void;
  conflicted(table: string): void;
  settled(table: string, as: Settled): void;
};

export function createStoreMetrics(registry: Registry): StoreMetrics {
  const registers = [registry];
  const requests = new Histogram({
    name: "nebula_store_request_seconds",
    help: "Requests to the store, by table, kind, consistency and result.",
    labelNames: ["table", "kind", "consistency", "result"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10],
    registers,
  });
  const conflicts = new Counter({
    name: "nebula_store_conflicts_total",
    help: "Conditional writes that found another state than the one expected, by table.",
    labelNames: ["table"],
    registers,
  });
  const settled = new Counter({
    name: "nebula_store_unknown_outcomes_total",
    help: "Conditional writes without an answer, by table and by how they were settled.",
    labelNames: ["table", "settled"],
    registers,
  });
  const children = new Map<string, Histogram.Internal<"table" | "kind" | "consistency" | "result">>(); // found by less work than by labels: once a request
  return {
    requested({ table, kind, consistency }, seconds, result) {
      const key = `${table} ${kind} ${result}`; // a process has one consistency for each kind
      let child = children.get(key);
      if (child === undefined) {
        child = requests.labels({ table, kind, consistency, result });
        children.set(key, child);
      }
      child.observe(seconds);
    },
    conflicted: (table) => conflicts.inc({ table }),
    settled: (table, as) => settled.inc({ table, settled: as }),
  };
}

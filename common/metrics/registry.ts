import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { VERSION } from "../version.ts";

/** Sums of gauges that are in the registry by type, under a name that Prometheus keeps for counters. */
const MISNAMED_SUMS = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"];

/** Adds a gauge without labels whose value is read when metrics are collected. */
export function addCurrentGauge(registry: Registry, name: string, help: string, value: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(value());
    },
  });
}

/** A registry of its own for one process, with the metrics of the process itself and the version. */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED_SUMS) registry.removeSingleMetric(name);
  new Gauge({ name: "nebula_build_info", help: "1, with the version as a label.", labelNames: ["version"], registers: [registry] }).set(
    { version: VERSION },
    1,
  );
  return registry;
}

import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { VERSION } from "../version.ts";

/** A registry of its own for one process, with the figures of the process itself and the version. */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({ name: "nebula_build_info", help: "1, with the version as a label.", labelNames: ["version"], registers: [registry] }).set(
    { version: VERSION },
    1,
  );
  return registry;
}

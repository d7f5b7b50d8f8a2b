import { Counter, Gauge, Histogram, type Registry } from "prom-client";

export type ReporterMetrics = ReturnType<typeof createReporterMetrics>;

/** What the reporter counts, in the registry of its process. */
export function createReporterMetrics(registry: Registry) {
  const registers = [registry];
  return {
    reports: new Counter({
      name: "nebula_reporter_reports_total",
      help: "Reports read from the bus, by what became of them: newest (the device's status), late (of a superseded boot), repeat (known already), foreign (would take a device out of the group of its token).",
      labelNames: ["outcome"] as const,
      registers,
    }),
    leftOut: new Counter({
      name: "nebula_reporter_left_out_reports_total",
      help: "Reports that became the status of their device and are not in the history: it holds 16 MiB of that device.",
      registers,
    }),
    unreadable: new Counter({
      name: "nebula_reporter_unreadable_records_total",
      help: "Records of the bus that could not be read and were put aside.",
      registers,
    }),
    batchSeconds: new Histogram({
      name: "nebula_reporter_batch_seconds",
      help: "Time from a batch's arrival to its commit, seconds.",
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
      registers,
    }),
    batchFailures: new Counter({
      name: "nebula_reporter_batch_failures_total",
      help: "Batches that could not be stored and are read again.",
      registers,
    }),
    consumerRestarts: new Counter({
      name: "nebula_reporter_consumer_restarts_total",
      help: "Times that consuming the bus failed and was begun again.",
      registers,
    }),
    consuming: new Gauge({ name: "nebula_reporter_consuming", help: "1 while the bus is consumed, else 0.", registers }),
    expiredDevices: new Counter({
      name: "nebula_reporter_expired_devices_total",
      help: "Devices without a token of their own whose newest status was removed because of its age.",
      registers,
    }),
    expired: new Counter({
      name: "nebula_reporter_expired_reports_total",
      help: "Reports removed from the history because of their age.",
      registers,
    }),
  };
}

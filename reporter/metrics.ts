import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Clock } from "../common/clock/clock.ts";

export type ReporterMetrics = ReturnType<typeof createReporterMetrics>;

/** The metrics of the reporter, in the registry of its process. */
export function createReporterMetrics(registry: Registry, clock: Pick<Clock, "now">) {
  const registers = [registry];
  let newestMs: number | undefined;
  new Gauge({
    name: "nebula_reporter_newest_report_age_seconds",
    help: "Time since the newest report that was folded was received, seconds; 0 before the first one.",
    registers,
    collect() {
      this.set(newestMs === undefined ? 0 : Math.max(0, clock.now() - newestMs) / 1000);
    },
  });
  return {
    /** Takes note of when reports that are folded now were received, milliseconds since 1970. */
    folded(receivedMs: readonly number[]): void {
      for (const ms of receivedMs) if (newestMs === undefined || ms > newestMs) newestMs = ms;
    },
    tooOld: new Counter({
      name: "nebula_reporter_too_old_reports_total",
      help: "Reports that became the status of their device and are not in the history: they are older than its reports (NEBULA_REPORT_TTL).",
      registers,
    }),
    reports: new Counter({
      name: "nebula_reporter_reports_total",
      help: "Reports read from the bus, by what became of them: newest (the device's status), late (of a superseded boot), repeat (known already), outdated (of a boot that was forgotten), foreign (would take a device out of the group of its token).",
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

import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { EndReason } from "./stream-slot.ts";

/** What the watch counts. */
export type WatchMetrics = {
  pushed(): void;
  ended(reason: EndReason): void;
  loaded(result: "changed" | "same" | "failed" | "unreadable"): void;
  /** The re-check found a revision that no hint had told of. */
  repaired(): void;
  /** Every stream of a group was offered its newest config, this long after it was made. */
  fannedOut(seconds: number): void;
  /** Configs above the size at which they are served with a warning. */
  oversized(groups: number): void;
};

/** @param streams how many watches are open now @param groups how many groups are watched now */
export function createWatchMetrics(registry: Registry, now: { streams(): number; groups(): number }): WatchMetrics {
  const registers = [registry];
  new Gauge({
    name: "nebula_watches",
    help: "Open watches.",
    registers,
    collect() {
      this.set(now.streams());
    },
  });
  new Gauge({
    name: "nebula_watched_groups",
    help: "Device_groups with an open watch.",
    registers,
    collect() {
      this.set(now.groups());
    },
  });
  let pushed = 0; // a plain number: it is raised once per device and push
  new Counter({
    name: "nebula_pushes_total",
    help: "Configs sent to devices.",
    registers,
    collect() {
      this.reset();
      this.inc(pushed);
    },
  });
  const ends = new Counter({ name: "nebula_watch_ends_total", help: "Watches that ended, by reason.", labelNames: ["reason"], registers });
  const loads = new Counter({ name: "nebula_config_loads_total", help: "Configs looked up, by result.", labelNames: ["result"], registers });
  const repairs = new Counter({ name: "nebula_watch_repairs_total", help: "Changes that the re-check found and the feed had lost.", registers });
  const fanOut = new Histogram({
    name: "nebula_fan_out_seconds",
    help: "From a new config of a group to the last of its streams.",
    buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const oversized = new Gauge({ name: "nebula_oversized_configs", help: "Watched configs above 1 MiB.", registers });
  return {
    pushed: () => void pushed++,
    ended: (reason) => ends.inc({ reason }),
    loaded: (result) => loads.inc({ result }),
    repaired: () => repairs.inc(),
    fannedOut: (seconds) => fanOut.observe(seconds),
    oversized: (groups) => oversized.set(groups),
  };
}

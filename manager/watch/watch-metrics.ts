import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { addCurrentGauge } from "../../common/metrics/registry.ts";
import type { EndReason } from "./group-watch.ts";
import type { Ownership } from "./ownership.ts";

/** Counters of the watch. */
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
  /** After a change of membership or `spread`, streams were looked at in one turn of the event loop. */
  looked(streams: number): void;
};

/** Current values of the watch, read when metrics are collected. */
export type WatchNow = Readonly<{
  /** Open watches. */
  streams(): number;
  /** Watched groups. */
  groups(): number;
  /** Watches that wait for their end, since another shard should serve them. */
  leaving(): number;
  /** The reads for watches that are under way or wait. */
  queued(): Readonly<{ groups: number; members: number }>;
  ownership: Pick<Ownership, "members" | "rankings" | "version">;
}>;

export function createWatchMetrics(registry: Registry, now: WatchNow): WatchMetrics {
  const registers = [registry];
  createShardMetrics(registry, now);
  new Gauge({
    name: "nebula_config_loads_queued",
    help: "Device_groups, and apps and cron_jobs of theirs, that are being read for watches or wait for it.",
    labelNames: ["kind"],
    registers,
    collect() {
      const { groups, members } = now.queued();
      this.set({ kind: "group" }, groups);
      this.set({ kind: "member" }, members);
    },
  });
  addCurrentGauge(registry, "nebula_watches", "Open watches.", now.streams);
  addCurrentGauge(registry, "nebula_watched_groups", "Device_groups with an open watch.", now.groups);
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
  const looks = new Histogram({
    name: "nebula_hand_over_looks",
    help: "Watches looked at in one turn of the event loop, after a change of membership or spread.",
    buckets: [1, 32, 64, 128, 256, 512],
    registers,
  });
  return {
    looked: (streams) => looks.observe(streams),
    pushed: () => void pushed++,
    ended: (reason) => ends.inc({ reason }),
    loaded: (result) => loads.inc({ result }),
    repaired: () => repairs.inc(),
    fannedOut: (seconds) => fanOut.observe(seconds),
    oversized: (groups) => oversized.set(groups),
  };
}

function createShardMetrics(registry: Registry, { ownership, leaving }: WatchNow): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number) => addCurrentGauge(registry, name, help, value);
  gauge("nebula_members", "Live shards, as this one acts on them.", () => ownership.members.length);
  gauge("nebula_members_impaired", "Live shards without a good read of their store.", () => ownership.members.filter((one) => one.impaired).length);
  gauge("nebula_hand_over_waiting", "Watches that wait for their end, since another shard should serve them.", leaving);
  const counter = (name: string, help: string, value: () => number) => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };
  counter("nebula_hand_overs_total", "Changes of the membership that were acted on.", () => ownership.version);
  counter("nebula_group_rankings_total", "Device_groups whose shards were ranked.", () => ownership.rankings);
}

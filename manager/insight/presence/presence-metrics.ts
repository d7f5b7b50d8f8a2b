import { Counter, type Registry } from "prom-client";
import { addCurrentGauge } from "../../../common/metrics/registry.ts";

/** Counters of the presence that this shard writes. */
export type PresenceMetrics = {
  /** A write of the states of this many devices ended. */
  wrote(result: "ok" | "failed", devices: number): void;
  /** States of this many devices will never be written. */
  dropped(devices: number): void;
};

/** Current values, read when metrics are collected. */
export type PresenceNow = Readonly<{
  /** Devices with an open watch. */
  online(): number;
  /** Devices whose newest state is not written yet. */
  waiting(): number;
}>;

export function createPresenceMetrics(registry: Registry, now: PresenceNow): PresenceMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number) => addCurrentGauge(registry, name, help, value);
  gauge("nebula_devices_online", "Devices with an open watch on this shard.", now.online);
  gauge("nebula_presence_waiting", "Devices whose watch opened or ended, which is not in the store yet.", now.waiting);
  const writes = new Counter({
    name: "nebula_presence_writes_total",
    help: "Openings and ends of watches that were written to the store, by result; a failed one is tried again.",
    labelNames: ["result"],
    registers,
  });
  for (const result of ["ok", "failed"] as const) writes.inc({ result }, 0);
  const dropped = new Counter({
    name: "nebula_presence_dropped_total",
    help: "Openings and ends of watches that were not written: too many waited for the store, or the shard stopped before.",
    registers,
  });
  return {
    wrote: (result, devices) => writes.inc({ result }, devices),
    dropped: (devices) => dropped.inc(devices),
  };
}

import { Counter, type Registry } from "prom-client";
import { addCurrentGauge } from "../../../common/metrics/registry.ts";

/** Counters of the mirrors of device_groups on this shard. */
export type MirrorMetrics = Readonly<{
  /** A mirror is read again. */
  reread(): void;
  /** A view was not opened: there was no room. */
  refused(): void;
  /** A view that was open was ended: the mirrors grew beyond their room. */
  ended(): void;
}>;

/** Current values, read when metrics are collected. */
export type MirrorsNow = Readonly<{
  /** Mirrors that are held, those without readers included. */
  mirrors(): number;
  /** Devices in all of them. */
  devices(): number;
  /** Their memory, bytes, about. */
  bytes(): number;
}>;

export function createMirrorMetrics(registry: Registry, now: MirrorsNow): MirrorMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number) => addCurrentGauge(registry, name, help, value);
  gauge("nebula_mirrors", "Device_groups whose devices are held in memory for lists, counts and streams.", now.mirrors);
  gauge("nebula_mirror_devices", "Devices that are held in memory for lists, counts and streams.", now.devices);
  gauge("nebula_mirror_bytes", "Memory of the devices that are held for lists, counts and streams, about.", now.bytes);
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const rereads = counter("nebula_mirror_rereads_total", "Times that the devices of a device_group were read again.");
  const refused = counter(
    "nebula_mirror_refused_total",
    "Lists, counts and streams that were refused: there was no room for the devices of a group.",
  );
  const ended = counter("nebula_mirror_ended_total", "Views of device_groups that were ended: the devices that are held grew beyond their room.");
  return { reread: () => rereads.inc(), refused: () => refused.inc(), ended: () => ended.inc() };
}

import { setImmediate as turn } from "node:timers/promises";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import type { DeviceInGroup } from "./group-view.ts";

/** Rows that are read at a time. */
const ROWS = 50;

type Placed = Readonly<{ deviceGroup: string; device: Pick<DeviceInGroup, "deviceId" | "summary"> }>;

/**
 * Leaves out the devices that move to the device_group in which they were found. A device that is connected in one device_group and reported from another one
 * last moves: that one lists and counts it until it reports from the new one, so each device is listed and counted once.
 */
export async function withoutMoving<T extends Placed>(store: Pick<ReportStore, "statuses">, found: readonly T[], signal: AbortSignal): Promise<T[]> {
  const silent = found.flatMap(({ device }) => (device.summary === undefined ? [device.deviceId] : []));
  const lastIn = await lastGroups(store, silent, signal);
  return found.filter(({ deviceGroup, device }) => device.summary !== undefined || (lastIn.get(device.deviceId) ?? deviceGroup) === deviceGroup);
}

/** Reads the device_group from which each of these devices reported last; those that never did are left out. */
export async function lastGroups(
  store: Pick<ReportStore, "statuses">,
  deviceIds: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const lastIn = new Map<string, string>();
  for (let start = 0; start < deviceIds.length; start += ROWS) {
    if (start > 0) await turn(); // a store in this process answers without one
    for (const [deviceId, { device, deleted }] of await store.statuses(deviceIds.slice(start, start + ROWS), signal)) {
      if (deleted !== true) lastIn.set(deviceId, device.deviceGroup);
    }
  }
  return lastIn;
}

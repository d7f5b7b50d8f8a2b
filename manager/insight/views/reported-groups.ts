import { setImmediate as turn } from "node:timers/promises";
import type { ReportStore } from "../../../common/storage/report-store.ts";

/** Rows that are read at a time. */
const ROWS = 50;

/**
 * Returns the device_group from which each of these devices reported last; one that never reported is absent. A device that is connected in one device_group
 * and reported from another one moves: that one lists and counts it until it reports from the new one, so each device is listed and counted once.
 */
export async function reportedGroups(
  store: Pick<ReportStore, "statuses">,
  deviceIds: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const groups = new Map<string, string>();
  for (let start = 0; start < deviceIds.length; start += ROWS) {
    if (start > 0) await turn(); // a store in this process answers without one
    for (const [deviceId, { device, deleted }] of await store.statuses(deviceIds.slice(start, start + ROWS), signal)) {
      if (deleted !== true) groups.set(deviceId, device.deviceGroup);
    }
  }
  return groups;
}

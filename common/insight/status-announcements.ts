import type { StatusChange } from "../../gen/nebula/v1/device_pb.ts";
import type { Announcement } from "../feed/change-feed.ts";
import { savedSummary } from "../storage/device-summary.ts";
import type { DeviceChange } from "../storage/report-store.ts";

/**
 * Returns the announcements of changed rows: to each device_group one, of its devices whose rows changed, with their new versions and summaries. Without a summary
 * are devices that were deleted, and those that left the group that is announced to.
 */
export function statusAnnouncements(changes: readonly Pick<DeviceChange, "before" | "row">[]): readonly Announcement[] {
  const byGroup = new Map<string, StatusChange[]>();
  const announce = (deviceGroup: string, change: StatusChange) => {
    const ofGroup = byGroup.get(deviceGroup);
    if (ofGroup === undefined) byGroup.set(deviceGroup, [change]);
    else ofGroup.push(change);
  };
  for (const { before, row } of changes) {
    const { device, writtenAt } = row;
    const { deviceId, deviceGroup } = device;
    const leaves: StatusChange = { $typeName: "nebula.v1.StatusChange", deviceId, writtenAt };
    const summary = savedSummary(row);
    announce(deviceGroup, summary === undefined ? leaves : { ...leaves, summary });
    if (before !== undefined && before.device.deviceGroup !== deviceGroup) announce(before.device.deviceGroup, leaves);
  }
  return [...byGroup].map(([deviceGroup, ofGroup]) => ({ kind: "status", deviceGroup, news: { changes: ofGroup, presence: [] } }));
}

import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { StatusChangeSchema, StatusChangesSchema } from "../../gen/nebula/v1/device_pb.ts";
import type { Announcement } from "../feed/change-feed.ts";
import { encodedSummary } from "../storage/device-summary.ts";
import type { DeviceChange } from "../storage/report-store.ts";

/** Bytes of changes in one announcement; a single change may be larger. */
export const ANNOUNCEMENT_BYTES = 500_000;
/** Bytes that a change takes in an announcement besides its own: its field's number and its length. */
const FRAME_BYTES = 5;
const { deviceId: DEVICE_ID, writtenAt: WRITTEN_AT, summary: SUMMARY } = StatusChangeSchema.field;

/**
 * Returns the announcements of changed rows, encoded StatusChanges of at most ANNOUNCEMENT_BYTES: for each device_group its devices whose rows changed, with their
 * new versions and summaries. Without a summary are devices that were deleted, and those that left the group that is announced to.
 */
export function statusAnnouncements(changes: readonly Pick<DeviceChange, "before" | "row">[]): readonly Announcement[] {
  const byGroup = new Map<string, Uint8Array[]>();
  for (const { before, row } of changes) {
    const { deviceId, deviceGroup } = row.device;
    const groups = new Set([deviceGroup, ...(before === undefined ? [] : [before.device.deviceGroup])]);
    for (const group of groups) {
      const ofGroup = byGroup.get(group) ?? [];
      ofGroup.push(encodedChange(deviceId, row.writtenAt, group === deviceGroup ? encodedSummary(row) : undefined));
      byGroup.set(group, ofGroup);
    }
  }
  return [...byGroup].flatMap(([deviceGroup, ofGroup]) => payloadsOf(ofGroup).map((payload) => ({ kind: "status", deviceGroup, payload }) as const));
}

/** A StatusChange of an encoded summary. */
function encodedChange(deviceId: string, writtenAt: bigint, summary: Uint8Array | undefined): Uint8Array {
  const writer = new BinaryWriter().tag(DEVICE_ID.number, WireType.LengthDelimited).string(deviceId);
  writer.tag(WRITTEN_AT.number, WireType.Varint).uint64(writtenAt);
  if (summary !== undefined) writer.tag(SUMMARY.number, WireType.LengthDelimited).bytes(summary);
  return writer.finish();
}

/** A StatusChanges is its changes, one after the other. */
function payloadsOf(changes: readonly Uint8Array[]): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  let [writer, size] = [new BinaryWriter(), 0];
  const finish = () => {
    if (size > 0) payloads.push(writer.finish());
    [writer, size] = [new BinaryWriter(), 0];
  };
  for (const change of changes) {
    if (size + change.length + FRAME_BYTES > ANNOUNCEMENT_BYTES) finish();
    writer.tag(StatusChangesSchema.field.changes.number, WireType.LengthDelimited).bytes(change);
    size += change.length + FRAME_BYTES;
  }
  finish();
  return payloads;
}

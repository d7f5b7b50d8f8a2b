import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { PresenceChangeSchema, StatusChangeSchema, StatusChangesSchema } from "../../gen/nebula/v1/device_pb.ts";
import type { StatusNews } from "../feed/change-feed.ts";
import { writeMessage } from "../protobuf/binary-message.ts";

/** Bytes of one announcement; a single change may be larger. */
export const ANNOUNCEMENT_BYTES = 500_000;
/** Bytes that a change takes in an announcement besides its own: its field's number and its length. */
const FRAME_BYTES = 5;
const { changes: CHANGES, presence: PRESENCE } = StatusChangesSchema.field;

/** Returns what changed in a device_group as encoded StatusChanges of at most ANNOUNCEMENT_BYTES, each of which is one announcement. */
export function statusPayloads({ changes, presence }: StatusNews): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  let [writer, size] = [new BinaryWriter(), 0];
  const finish = () => {
    if (size > 0) payloads.push(writer.finish());
    [writer, size] = [new BinaryWriter(), 0];
  };
  // a StatusChanges is its changes, one after the other
  const add = (field: number, change: Uint8Array) => {
    if (size + change.length + FRAME_BYTES > ANNOUNCEMENT_BYTES) finish();
    writer.tag(field, WireType.LengthDelimited).bytes(change);
    size += change.length + FRAME_BYTES;
  };
  for (const change of changes) add(CHANGES.number, writeMessage(StatusChangeSchema, change));
  for (const change of presence) add(PRESENCE.number, writeMessage(PresenceChangeSchema, change));
  finish();
  return payloads;
}

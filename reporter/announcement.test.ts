import { strict as assert } from "node:assert";
import { create, fromBinary } from "@bufbuild/protobuf";
import type { Announcement } from "../common/feed/change-feed.ts";
import type { DeviceChange, StatusRow } from "../common/storage/report-store.ts";
import { DeviceSchema, StatusChangesSchema } from "../gen/nebula/v1/device_pb.ts";
import { announcements } from "./ingest.ts";

function row(deviceId: string, deviceGroup: string, writtenAt: bigint): StatusRow {
  return { device: create(DeviceSchema, { deviceId, deviceGroup }), writtenAt };
}

function change(after: StatusRow, before?: StatusRow): DeviceChange {
  return { before, row: after, reports: [] };
}

/** What each group is announced: `device@version`. */
function announced(events: readonly Announcement[]): Record<string, readonly string[]> {
  return Object.fromEntries(
    events.map((event) => {
      assert.ok(event.kind === "status");
      const { changes } = fromBinary(StatusChangesSchema, event.payload);
      return [event.deviceGroup, changes.map(({ deviceId, writtenAt }) => `${deviceId}@${writtenAt}`)];
    }),
  );
}

describe("announcement of a batch", () => {
  it("an announcement is one event for each group, with the devices and the versions of their rows", () => {
    const events = announcements([
      change(row("a", "shops", 7n)),
      change(row("b", "shops", 8n), row("b", "shops", 3n)),
      change(row("c", "offices", 9n)),
    ]);
    assert.equal(events.length, 2);
    assert.deepEqual(announced(events), { shops: ["a@7", "b@8"], offices: ["c@9"] });
  });

  it("an announcement reaches the group that a device left, too", () => {
    assert.deepEqual(announced(announcements([change(row("a", "offices", 7n), row("a", "shops", 6n))])), { offices: ["a@7"], shops: ["a@7"] });
  });

  it("an announcement is empty for a batch that changed no row", () => {
    assert.deepEqual(announcements([]), []);
  });
});

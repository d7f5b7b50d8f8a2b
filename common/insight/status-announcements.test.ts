import { strict as assert } from "node:assert";
import { equals } from "@bufbuild/protobuf";
import { DeviceSummarySchema, type StatusChange } from "../../gen/nebula/v1/device_pb.ts";
import type { Announcement } from "../feed/change-feed.ts";
import { summaryOf } from "../storage/device-summary.ts";
import { markerOf, type StatusRow } from "../storage/report-store.ts";
import { sampleReport } from "../testing/sample-report.ts";
import { statusRow } from "../testing/save-reports.ts";
import { statusAnnouncements } from "./status-announcements.ts";

const row = (deviceId: string, deviceGroup: string, writtenAt: bigint) => statusRow(sampleReport({ deviceId, deviceGroup }), writtenAt);
const change = (after: StatusRow, before?: StatusRow) => ({ before, row: after });

function changesOf(event: Announcement): readonly StatusChange[] {
  assert.ok(event.kind === "status");
  return event.news?.changes ?? assert.fail();
}

/** The announcements to each group: `device@version`, with a `-` where there is no summary. */
function announced(events: readonly Announcement[]): Record<string, readonly string[]> {
  return Object.fromEntries(
    events.map((event) => {
      assert.ok(event.kind === "status");
      return [event.deviceGroup, changesOf(event).map(({ deviceId, writtenAt, summary }) => `${deviceId}@${writtenAt}${summary ? "" : "-"}`)];
    }),
  );
}

describe("announcements of statuses", () => {
  it("an announcement is one event for each group, with the devices, the versions of their rows and their summaries", () => {
    const rows = [row("a", "shops", 7n), row("b", "shops", 8n), row("c", "offices", 9n)];
    const events = statusAnnouncements(rows.map((each) => change(each, each.device.deviceId === "b" ? row("b", "shops", 3n) : undefined)));
    assert.equal(events.length, 2);
    assert.deepEqual(announced(events), { shops: ["a@7", "b@8"], offices: ["c@9"] });
    const summaries = events.flatMap(changesOf).map(({ summary }) => summary ?? assert.fail());
    for (const [index, each] of rows.entries()) {
      assert.ok(equals(DeviceSummarySchema, summaries[index] ?? assert.fail(), summaryOf(each) ?? assert.fail()));
    }
  });

  it("an announcement reaches the group that a device left without a summary, and the group of a deleted device as well", () => {
    const moved = change(row("a", "offices", 7n), row("a", "shops", 6n));
    assert.deepEqual(announced(statusAnnouncements([moved])), { offices: ["a@7"], shops: ["a@7-"] });
    assert.deepEqual(announced(statusAnnouncements([change(markerOf(row("b", "shops", 3n)), row("b", "shops", 3n))])), { shops: ["b@4-"] });
  });

  it("an announcement is not made of a batch that changed no row", () => {
    assert.deepEqual(statusAnnouncements([]), []);
  });
});

import { create } from "@bufbuild/protobuf";
import { DeviceSchema, PresenceChangeSchema } from "../../gen/nebula/v1/device_pb.ts";
import { type Report, type StoredReport, StoredReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import type { ChangeFeed } from "../feed/change-feed.ts";
import { statusAnnouncements } from "../insight/status-announcements.ts";
import type { PresenceRow, PresenceStore } from "../storage/presence-store.ts";
import { receivedMs, reportId } from "../storage/report-id.ts";
import type { DeviceChange, ReportStore, StatusRow } from "../storage/report-store.ts";

/** A report as the history holds it. */
export function storedReport(
  report: Report,
  { originalJson = "", updated = false }: { originalJson?: string; updated?: boolean } = {},
): StoredReport {
  return create(StoredReportSchema, { id: reportId(report), report, originalJson, updated });
}

/** The row of a device whose newest report is this one. */
export function statusRow(report: Report, writtenAt = 1n): StatusRow {
  const { deviceId, deviceGroup, receivedAt } = report;
  return { device: create(DeviceSchema, { deviceId, deviceGroup, report, firstSeenAt: receivedAt }), writtenAt };
}

export type Saved = Readonly<{ reports?: readonly StoredReport[]; statuses?: readonly StatusRow[] }>;

/** Saves reports and rows as a reporter does; a device without a row among them gets one of its last report. */
export async function saveReports(store: Pick<ReportStore, "statuses" | "save">, { reports = [], statuses = [] }: Saved) {
  const byDevice = Map.groupBy(reports, ({ report }) => report?.deviceId ?? "");
  const rows = new Map(statuses.map((row) => [row.device.deviceId, row]));
  const ids = new Set([...byDevice.keys(), ...rows.keys()]);
  const before = await store.statuses([...ids]);
  const changes = [...ids].flatMap((deviceId): DeviceChange[] => {
    const ofDevice = byDevice.get(deviceId) ?? [];
    const last = ofDevice.at(-1)?.report;
    const row = rows.get(deviceId) ?? (last && statusRow(last, nextVersion(before.get(deviceId), last)));
    return row === undefined ? [] : [{ before: before.get(deviceId), row, reports: ofDevice }];
  });
  return store.save(changes);
}

/** Saves a word on the watch of a device, and announces it. */
export async function savePresenceAndAnnounce(
  store: Pick<PresenceStore, "savePresence">,
  feed: Pick<ChangeFeed, "publish">,
  row: PresenceRow,
): Promise<void> {
  await store.savePresence([row]);
  const { deviceGroup, deviceId, shardBoot, stream, ended, atMs } = row;
  const change = create(PresenceChangeSchema, { deviceId, shardBoot, stream: BigInt(stream), ended, atMs: BigInt(atMs) });
  feed.publish({ kind: "status", deviceGroup, news: { changes: [], presence: [change] } });
}

/** Saves the newest status of a device, and announces it. */
export async function saveAndAnnounce(
  store: Pick<ReportStore, "statuses" | "save">,
  feed: Pick<ChangeFeed, "publish">,
  row: StatusRow,
): Promise<void> {
  const { deviceId } = row.device;
  const before = (await store.statuses([deviceId])).get(deviceId);
  await store.save([{ before, row, reports: [] }]);
  for (const event of statusAnnouncements([{ before, row }])) feed.publish(event);
}

function nextVersion(before: StatusRow | undefined, { receivedAt }: Report): bigint {
  const received = BigInt(receivedMs(receivedAt)) * 1000n;
  return before === undefined || received > before.writtenAt ? received : before.writtenAt + 1n;
}

import type { StoredReport } from "../../../../gen/nebula/v1/report_pb.ts";
import type { DeviceRecord, StatusRow } from "../../report-store.ts";
import { pagesOf } from "../connection/client.ts";
import { isNull, text } from "../connection/rows.ts";
import { readStates } from "./report-devices.ts";
import { reportOf } from "./report-history.ts";
import type { ReportClient } from "./report-rows.ts";

const WITH_ROW = "SELECT device_id FROM device";
const WITH_REPORTS = "SELECT DISTINCT device_id FROM report";
const REPORTS = "SELECT id, body, original, updated FROM report WHERE device_id = ?";
const IDS_AT_ONCE = 1000;
const BODIES_AT_ONCE = 100;

type Signal = AbortSignal | undefined;

/** The id of each device that has a row, or reports in the history alone. */
export async function* allDeviceIds(client: ReportClient, signal: Signal): AsyncGenerator<string> {
  for await (const ids of idPages(client, "device", WITH_ROW, signal)) yield* ids;
  for await (const ids of idPages(client, "report", WITH_REPORTS, signal)) {
    const known = await readStates(client, ids, signal);
    yield* ids.filter((id) => !known.has(id));
  }
}

async function* idPages(client: ReportClient, table: string, cql: string, signal: Signal): AsyncGenerator<readonly string[]> {
  for await (const rows of pagesOf(client, { cql, params: [] }, { table, kind: "read", fetchSize: IDS_AT_ONCE, signal })) {
    yield rows.map((row) => text(row, "device_id"));
  }
}

/** A device as one store hands it to another; undefined: the store knows nothing of it. */
export async function readDeviceRecord(client: ReportClient, deviceId: string, signal: Signal): Promise<DeviceRecord | undefined> {
  const stored = (await readStates(client, [deviceId], signal)).get(deviceId);
  const reports: StoredReport[] = [];
  const options = { table: "report", kind: "read", fetchSize: BODIES_AT_ONCE, signal } as const;
  for await (const rows of pagesOf(client, { cql: REPORTS, params: [deviceId] }, options)) {
    reports.push(...rows.filter((row) => !isNull(row, "body")).map(reportOf));
  }
  if (stored === undefined && reports.length === 0) return undefined;
  return { kind: "device", deviceId, row: stored && withoutCounts(stored), reports };
}

function withoutCounts({ historyBytes: _, ...row }: StatusRow): StatusRow {
  return row;
}

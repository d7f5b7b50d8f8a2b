import type { DeviceSummary } from "../../../../gen/nebula/v1/device_pb.ts";
import { readSummary, summaryOf } from "../../device-summary.ts";
import { decodeSummaryPosition, encodeSummaryPosition, PAGE_BYTES, type Page, type PageRequest } from "../../page.ts";
import type { SummaryVersion } from "../../report-store.ts";
import { bigint, bytes, isNull, type Row, text } from "../connection/rows.ts";
import { BUCKETS } from "../schema/report-tables.ts";
import { mergeBuckets, partOf } from "./merge-buckets.ts";
import { readStates } from "./report-devices.ts";
import { deviceBucket, type ReportClient } from "./report-rows.ts";

// Summaries of the devices of a group, by device id.
//
// A row of the index has its version as its write time. A component of an earlier version writes a row without its summary: what is stored then is absent, or of
// an earlier version. Of such a row the summary is made of the device's row, as it is with a group that another batch has moved the device out of: it is left out.

const SUMMARIES = `
  SELECT device_id, WRITETIME(state) AS version, summary FROM device_summary WHERE device_group = ? AND bucket = ? AND device_id > ? LIMIT ?`;
const VERSIONS = "SELECT device_id, WRITETIME(state) AS version FROM device_summary WHERE device_group = ? AND bucket = ? AND device_id > ? LIMIT ?";
const SUMMARY = `
  SELECT device_id, WRITETIME(state) AS version, summary FROM device_summary WHERE device_group = ? AND bucket = ? AND device_id = ?`;

type Signal = AbortSignal | undefined;
/** A row of the index; without its summary where an earlier version wrote it. */
type Indexed = Readonly<{ deviceId: string; writtenAt: bigint; summary: DeviceSummary | undefined; bytes: number }>;

export async function listSummaries(client: ReportClient, deviceGroup: string, page: PageRequest, signal: Signal): Promise<Page<DeviceSummary>> {
  const { items, next } = await pageOf(client, { cql: SUMMARIES, deviceGroup }, page, indexedOf, signal);
  return { items: await completed(client, deviceGroup, items, signal), next };
}

export function listVersions(client: ReportClient, deviceGroup: string, page: PageRequest, signal: Signal): Promise<Page<SummaryVersion>> {
  const versionOf = (row: Row) => ({ deviceId: text(row, "device_id"), writtenAt: bigint(row, "version"), bytes: 0 });
  return pageOf(client, { cql: VERSIONS, deviceGroup }, page, versionOf, signal);
}

export async function readSummaries(
  client: ReportClient,
  deviceGroup: string,
  deviceIds: readonly string[],
  signal: Signal,
): Promise<ReadonlyMap<string, DeviceSummary>> {
  const values = [...new Set(deviceIds)].map((id) => [deviceGroup, deviceBucket(id), id]);
  const answers = await client.executeMany(SUMMARY, values, { table: "device_summary", kind: "read", signal });
  const rows = answers.flatMap((answer) => answer.map(indexedOf));
  return new Map((await completed(client, deviceGroup, rows, signal)).map((summary) => [summary.deviceId, summary]));
}

async function pageOf<T extends { deviceId: string; bytes: number }>(
  client: ReportClient,
  { cql, deviceGroup }: Readonly<{ cql: string; deviceGroup: string }>,
  { after, limit }: PageRequest,
  item: (row: Row) => T,
  signal: Signal,
): Promise<Page<T>> {
  const start = after === undefined ? "" : decodeSummaryPosition(after);
  const read = async (bucket: number, key: string | undefined, most: number) => {
    const query = { cql, params: [deviceGroup, bucket, key ?? start, most] };
    const { rows } = await client.execute(query, { table: "device_summary", kind: "read", fetchSize: most, signal });
    return rows.map(item);
  };
  const items: T[] = [];
  let size = 0;
  for await (const row of mergeBuckets(BUCKETS.devices, partOf(limit, BUCKETS.devices), read, ({ deviceId }) => deviceId)) {
    const last = items.at(-1);
    if (last !== undefined && (items.length === limit || size + row.bytes > PAGE_BYTES)) return { items, next: encodeSummaryPosition(last.deviceId) };
    items.push(row);
    size += row.bytes;
  }
  return { items, next: undefined };
}

/** The summaries of rows; those that the index does not have are made of the devices' rows. */
async function completed(client: ReportClient, deviceGroup: string, rows: readonly Indexed[], signal: Signal): Promise<DeviceSummary[]> {
  const missing = rows.filter(({ summary }) => summary === undefined).map(({ deviceId }) => deviceId);
  const states = missing.length === 0 ? new Map() : await readStates(client, missing, signal);
  return rows.flatMap(({ deviceId, summary }) => {
    if (summary !== undefined) return [summary];
    const row = states.get(deviceId);
    return row?.device.deviceGroup === deviceGroup ? (summaryOf(row) ?? []) : [];
  });
}

function indexedOf(row: Row): Indexed {
  const [deviceId, writtenAt] = [text(row, "device_id"), bigint(row, "version")];
  const body = isNull(row, "summary") ? undefined : bytes(row, "summary");
  const summary = body && readSummary(body);
  return { deviceId, writtenAt, summary: summary?.writtenAt === writtenAt ? summary : undefined, bytes: body?.length ?? 0 };
}

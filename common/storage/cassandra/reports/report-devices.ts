import type { Device } from "../../../../gen/nebula/v1/device_pb.ts";
import type { PageRequest } from "../../page.ts";
import { decodeDevicePosition, encodeDevicePosition, PAGE_BYTES, type Page } from "../../page.ts";
import type { DeviceFilter, StatusRow } from "../../report-store.ts";
import { bool, integer, type Row, text } from "../connection/rows.ts";
import { BUCKETS } from "../schema/report-tables.ts";
import { mergeBuckets, partOf } from "./merge-buckets.ts";
import { decodeState, presentDevice, type ReportClient } from "./report-rows.ts";

/** Groups that one call looks at. */
const MOST_GROUPS = 100;
/** Names of groups that are read at a time. */
const NAMES = 200;
/** Rows of a count that are read at a time. */
const COUNTED = 5000;

const STATE = "SELECT device_id, state FROM device WHERE device_id = ?";
const SUMMARIES = "SELECT device_id, state, bytes FROM device_summary WHERE device_group = ? AND bucket = ? AND device_id > ? LIMIT ?";
const WITHOUT_TOKEN = "SELECT without_token FROM device_summary WHERE device_group = ? AND bucket = ?";
const GROUPS = "SELECT device_group FROM reporting_group WHERE without_token = ? AND device_group > ? LIMIT ?";
const GROUPS_FROM = "SELECT device_group FROM reporting_group WHERE without_token = ? AND device_group >= ? LIMIT ?";

type Summary = Readonly<{ deviceId: string; deviceGroup: string; state: number; bytes: number }>;

/** The rows of these devices, markers included. */
export async function readStates(
  client: ReportClient,
  deviceIds: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, StatusRow>> {
  const ids = [...new Set(deviceIds)];
  const answers = await client.executeMany(
    STATE,
    ids.map((id) => [id]),
    { table: "device", kind: "read", signal },
  );
  const rows = new Map<string, StatusRow>();
  for (const [row] of answers) {
    const state = row && decodeState(row);
    if (row !== undefined && state !== undefined) rows.set(text(row, "device_id"), state);
  }
  return rows;
}

/** Lists devices: ids from the summaries in their order, then the rows of one page, which decide: a summary may be ahead of its row, or left over. */
export async function listDevices(
  { client, mostLookedAt }: Readonly<{ client: ReportClient /** Summaries that one call looks at. */; mostLookedAt: number }>,
  filter: DeviceFilter,
  { after, limit }: PageRequest,
  signal: AbortSignal | undefined,
): Promise<Page<Device>> {
  const from = after === undefined ? undefined : decodeDevicePosition(after);
  const page: Summary[] = [];
  let [size, looked, groups] = [0, 0, 0];
  const finish = async (next: { deviceGroup: string; deviceId: string } | undefined) => ({
    items: await present(client, page, filter, signal),
    next: next && encodeDevicePosition(next),
  });
  for await (const deviceGroup of groupsOf(client, filter, from?.deviceGroup, signal)) {
    if (groups++ === MOST_GROUPS) return finish({ deviceGroup, deviceId: "" });
    const start = deviceGroup === from?.deviceGroup ? from.deviceId : "";
    let position = { deviceGroup, deviceId: start };
    for await (const summary of summariesOf(client, deviceGroup, start, limit, signal)) {
      if (page.length === limit || (page.length > 0 && size + summary.bytes > PAGE_BYTES)) return finish(page.at(-1));
      if (looked++ === mostLookedAt) return finish(position);
      position = summary;
      if (filter.state !== undefined && filter.state !== summary.state) continue;
      page.push(summary);
      size += summary.bytes;
    }
  }
  return finish(undefined);
}

/** Counts the devices of a group without a token of their own, to `most` at the furthest. */
export async function countWithoutToken(client: ReportClient, deviceGroup: string, most: number, signal: AbortSignal | undefined): Promise<number> {
  let devices = 0;
  const count = async (bucket: number) => {
    for (let pageState: string | undefined; devices < most; ) {
      const options = { table: "device_summary", kind: "read", fetchSize: COUNTED, pageState, signal } as const;
      const { rows, next } = await client.execute({ cql: WITHOUT_TOKEN, params: [deviceGroup, bucket] }, options);
      devices += rows.filter((row) => bool(row, "without_token")).length;
      if (next === undefined) return;
      pageState = next;
    }
  };
  await Promise.all(Array.from({ length: BUCKETS.devices }, (_, bucket) => count(bucket)));
  return Math.min(devices, most);
}

/** Names of groups with devices of one kind, after a name. */
export async function namesOfGroups(
  client: ReportClient,
  withoutToken: boolean,
  { after, limit, inclusive = false }: { after: string; limit: number; inclusive?: boolean },
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const query = { cql: inclusive ? GROUPS_FROM : GROUPS, params: [withoutToken, after, limit] };
  const { rows } = await client.execute(query, { table: "reporting_group", kind: "read", fetchSize: limit, signal });
  return rows.map((row) => text(row, "device_group"));
}

/** Names of all groups that have devices, after a name. */
export async function allGroups(client: ReportClient, { after, limit }: { after: string; limit: number }, signal: AbortSignal | undefined) {
  const both = await Promise.all([true, false].map((withoutToken) => namesOfGroups(client, withoutToken, { after, limit }, signal)));
  // both are in the order of UTF-8
  return [...new Set(both.flat())].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).slice(0, limit);
}

/** The groups that a list is of, from a name on, in their order. */
async function* groupsOf(client: ReportClient, filter: DeviceFilter, from = "", signal: AbortSignal | undefined): AsyncGenerator<string> {
  if (filter.deviceGroup !== undefined) {
    yield filter.deviceGroup;
    return;
  }
  let last: string | undefined;
  const read = (bucket: number, key: string | undefined, limit: number) =>
    namesOfGroups(client, bucket === 0, { after: key ?? from, limit, inclusive: key === undefined }, signal);
  for await (const name of mergeBuckets(2, NAMES, read, (each) => each)) {
    if (name !== last) yield name; // it has devices of both kinds
    last = name;
  }
}

function summariesOf(
  client: ReportClient,
  deviceGroup: string,
  after: string,
  limit: number,
  signal: AbortSignal | undefined,
): AsyncIterable<Summary> {
  const part = partOf(limit, BUCKETS.devices);
  const read = async (bucket: number, key: string | undefined, most: number) => {
    const query = { cql: SUMMARIES, params: [deviceGroup, bucket, key ?? after, most] };
    const { rows } = await client.execute(query, { table: "device_summary", kind: "read", fetchSize: most, signal });
    return rows.map((row) => summaryOf(row, deviceGroup));
  };
  return mergeBuckets(BUCKETS.devices, part, read, ({ deviceId }) => deviceId);
}

function summaryOf(row: Row, deviceGroup: string): Summary {
  return { deviceId: text(row, "device_id"), deviceGroup, state: integer(row, "state"), bytes: integer(row, "bytes") };
}

async function present(client: ReportClient, page: readonly Summary[], filter: DeviceFilter, signal: AbortSignal | undefined): Promise<Device[]> {
  const rows = await readStates(
    client,
    page.map(({ deviceId }) => deviceId),
    signal,
  );
  return page.flatMap(({ deviceId, deviceGroup }) => {
    const device = presentDevice(rows.get(deviceId));
    const isListed = device?.deviceGroup === deviceGroup && (filter.state === undefined || device.report?.state === filter.state);
    return device !== undefined && isListed ? [device] : [];
  });
}

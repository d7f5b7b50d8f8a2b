import { type StoredReport, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { encodedSummary } from "../../device-summary.ts";
import { encodedReport } from "../../encoded-report.ts";
import { receivedMs } from "../../report-id.ts";
import { type DeviceChange, HISTORY_BYTES_PER_DEVICE, markerOf, type ReportStore, type StatusRow } from "../../report-store.ts";
import { BUCKETS } from "../schema/report-tables.ts";
import { allDeviceIds, readDeviceRecord } from "./device-records.ts";
import { createCassandraPresence } from "./presence.ts";
import { allGroups, countWithoutToken, listDevices, namesOfGroups, readStates } from "./report-devices.ts";
import { listReports, MOST_LOOKED_AT } from "./report-history.ts";
import { deviceBucket, encodeState, hourOf, NAME_GROUP, presentDevice, type ReportClient, reportBucket, rowTtl, ttlSeconds } from "./report-rows.ts";
import { listSummaries, listVersions, readSummaries } from "./summaries.ts";

// Reports in Cassandra.
//
// T1: a device's row is written last: where it is at a version, the history, the indexes and the summary of that version are there. A save that was cut anywhere
//     is repeated as a whole, and writes the same again.
// T2: all is written `USING TIMESTAMP` the row's version, summaries that are removed included: a late write of an older version loses, from any sender. No
//     clock decides.
// T3: bytes of the history are counted in the row, by hour, so that they are forgotten with the reports.
// T4: lists look at an index, then at the row or body, which decides.

const REPORT = `
  INSERT INTO report (device_id, id, device_group, state, bytes, body, original, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?`;
const BY_HOUR = "INSERT INTO report_by_hour (hour, bucket, id, device_id, state, bytes) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
const BY_GROUP = `
  INSERT INTO report_by_group (device_group, hour, bucket, id, device_id, state, bytes) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?`;
const SUMMARY = `
  INSERT INTO device_summary (device_group, bucket, device_id, state, without_token, bytes, summary) VALUES (?, ?, ?, ?, ?, ?, ?)
  USING TIMESTAMP ? AND TTL ?`;
const NO_SUMMARY = "DELETE FROM device_summary USING TIMESTAMP ? WHERE device_group = ? AND bucket = ? AND device_id = ?";
const DEVICE = "INSERT INTO device (device_id, state) VALUES (?, ?) USING TIMESTAMP ? AND TTL ?";

export type CassandraReportStoreOptions = Readonly<{
  /** Connected, on a keyspace with the schema; it stays open. */
  client: ReportClient;
  /** How long a report is kept, milliseconds. */
  reportTtlMs: number;
  clock: Readonly<{ now(): number }>;
  /** Index rows that one call looks at; 5000. */
  mostLookedAt?: number;
}>;

/** A report that is inserted, with what the indexes say of it. */
type Insert = Readonly<{
  stored: StoredReport;
  deviceId: string;
  deviceGroup: string;
  state: number;
  body: Buffer;
  bytes: number;
  version: bigint;
  ttl: number;
}>;

/** Creates the report store in Cassandra. */
export function createCassandraReportStore({ client, reportTtlMs, clock, mostLookedAt = MOST_LOOKED_AT }: CassandraReportStoreOptions): ReportStore {
  const history = { client, reportTtlMs, now: () => clock.now(), mostLookedAt };
  const write = (table: string, cql: string, values: readonly (readonly unknown[])[], signal: AbortSignal | undefined) =>
    client.executeMany(cql, values, { table, kind: "write", signal });

  async function save(changes: readonly DeviceChange[], signal: AbortSignal | undefined): Promise<{ leftOut: number }> {
    const nowMs = clock.now();
    const counted = changes.map((change) => countBytes(change, reportTtlMs, nowMs));
    const inserts = counted.flatMap(({ inserts: of }) => of);
    const rows = counted.map(({ row }) => ({ row, ttl: rowTtl(row, reportTtlMs, nowMs) }));
    await writeAll(inserts, rows, changes.flatMap(leftGroups), signal);
    return { leftOut: counted.reduce((sum, { leftOut }) => sum + leftOut, 0) };
  }

  async function writeAll(
    inserts: readonly Insert[],
    rows: readonly { row: StatusRow; ttl: number }[],
    noSummaries: readonly (readonly unknown[])[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await write("report", REPORT, inserts.map(reportValues), signal);
    await Promise.all([
      write("report_by_hour", BY_HOUR, inserts.map(hourValues), signal),
      write("report_by_group", BY_GROUP, inserts.map(groupValues), signal),
      write("reporting_group", NAME_GROUP, groupsOf(rows), signal),
      write("device_summary", SUMMARY, rows.flatMap(summaryValues), signal),
      write("device_summary", NO_SUMMARY, noSummaries, signal),
    ]);
    const states = rows.map(({ row, ttl }) => [row.device.deviceId, encodeState(row), row.writtenAt, ttl]);
    await write("device", DEVICE, states, signal); // T1
  }

  return {
    ...createCassandraPresence(client),
    statuses: (deviceIds, signal) => readStates(client, deviceIds, signal),
    save: (changes, signal) => save(changes, signal),
    listReports: (filter, page, signal) => listReports(history, filter, page, signal),
    listDevices: (filter, page, signal) => listDevices({ client, mostLookedAt }, filter, page, signal),

    async getDevice(deviceId, signal) {
      return presentDevice((await readStates(client, [deviceId], signal)).get(deviceId));
    },

    async deleteDevice(deviceId, signal) {
      const before = (await readStates(client, [deviceId], signal)).get(deviceId);
      if (before === undefined || before.deleted === true) return undefined;
      const { historyBytes } = before;
      const marker = { ...markerOf(before), ...(historyBytes && { historyBytes }) };
      await save([{ before, row: marker, reports: [] }], signal);
      return marker;
    },

    listSummaries: (deviceGroup, page, signal) => listSummaries(client, deviceGroup, page, signal),
    listVersions: (deviceGroup, page, signal) => listVersions(client, deviceGroup, page, signal),
    summaries: (deviceGroup, deviceIds, signal) => readSummaries(client, deviceGroup, deviceIds, signal),
    groups: (page, signal) => allGroups(client, page, signal),

    countWithoutToken: (deviceGroup, most, signal) => countWithoutToken(client, deviceGroup, most, signal),
    groupsWithoutToken: (page, signal) => namesOfGroups(client, true, page, signal),
    expireDevices: async () => 0,
    expire: async () => 0,

    records: {
      async *everything(_, signal) {
        for await (const deviceId of allDeviceIds(client, signal)) {
          const record = await readDeviceRecord(client, deviceId, signal);
          if (record !== undefined) yield record;
        }
      },

      counterpart: ({ deviceId }, signal) => readDeviceRecord(client, deviceId, signal),

      async adopt({ row, reports }, signal) {
        const nowMs = clock.now();
        const inserts = reports.map((stored) => {
          const version = row?.writtenAt ?? BigInt(receivedMs(stored.report?.receivedAt)) * 1000n;
          return insertOf(stored, version, reportTtlMs, nowMs);
        });
        const historyBytes = new Map<number, number>(); // T3
        for (const { stored, bytes } of inserts) {
          const hour = hourOf(receivedMs(stored.report?.receivedAt));
          historyBytes.set(hour, (historyBytes.get(hour) ?? 0) + bytes);
        }
        const rows = row === undefined ? [] : [{ row: { ...row, historyBytes }, ttl: rowTtl(row, reportTtlMs, nowMs) }];
        await writeAll(inserts, rows, [], signal);
      },
    },

    async [Symbol.asyncDispose]() {},
  };
}

/** T3: which reports there is room for, and the row with the bytes that the history holds then. */
function countBytes(
  { before, row, reports }: DeviceChange,
  reportTtlMs: number,
  nowMs: number,
): { inserts: Insert[]; row: StatusRow; leftOut: number } {
  const oldest = hourOf(nowMs - reportTtlMs);
  const byHour = new Map([...(before?.historyBytes ?? [])].filter(([hour]) => hour >= oldest));
  let total = [...byHour.values()].reduce((sum, bytes) => sum + bytes, 0);
  const inserts: Insert[] = [];
  for (const stored of reports) {
    if (total >= HISTORY_BYTES_PER_DEVICE) continue;
    const insert = insertOf(stored, row.writtenAt, reportTtlMs, nowMs);
    const hour = hourOf(receivedMs(stored.report?.receivedAt));
    inserts.push(insert);
    byHour.set(hour, (byHour.get(hour) ?? 0) + insert.bytes);
    total += insert.bytes;
  }
  return { inserts, row: { ...row, historyBytes: byHour }, leftOut: reports.length - inserts.length };
}

/** @param version of the row that it is written with */
function insertOf(stored: StoredReport, version: bigint, reportTtlMs: number, nowMs: number): Insert {
  const { report, originalJson } = stored;
  if (report === undefined) throw new TypeError(`report ${stored.id} is empty`);
  const body = Buffer.from(encodedReport(report));
  const { deviceId, deviceGroup, state } = report;
  const ttl = ttlSeconds(receivedMs(report.receivedAt), reportTtlMs, nowMs);
  return { stored, deviceId, deviceGroup, state, body, bytes: body.length + Buffer.byteLength(originalJson), version, ttl };
}

function reportValues({ stored, deviceId, deviceGroup, state, body, bytes, version, ttl }: Insert): readonly unknown[] {
  return [deviceId, stored.id, deviceGroup, state, bytes, body, stored.originalJson, stored.updated, version, ttl];
}

function hourValues({ stored, deviceId, state, bytes, version, ttl }: Insert): readonly unknown[] {
  const hour = hourOf(receivedMs(stored.report?.receivedAt));
  return [hour, reportBucket(stored.id, BUCKETS.hour), stored.id, deviceId, state, bytes, version, ttl];
}

function groupValues({ stored, deviceId, deviceGroup, state, bytes, version, ttl }: Insert): readonly unknown[] {
  const hour = hourOf(receivedMs(stored.report?.receivedAt));
  return [deviceGroup, hour, reportBucket(stored.id, BUCKETS.groupHour), stored.id, deviceId, state, bytes, version, ttl];
}

function summaryValues({ row, ttl }: { row: StatusRow; ttl: number }): readonly (readonly unknown[])[] {
  const { device, writtenAt, withoutToken = false } = row;
  const summary = encodedSummary(row);
  if (summary === undefined) return [];
  const bytes = device.report === undefined ? 0 : encodedReport(device.report).length;
  const state = device.report?.state ?? TargetState.UNSPECIFIED;
  return [[device.deviceGroup, deviceBucket(device.deviceId), device.deviceId, state, withoutToken, bytes, Buffer.from(summary), writtenAt, ttl]];
}

/** The name of each group that has a row, once for those with a token and once for those without. */
function groupsOf(rows: readonly { row: StatusRow; ttl: number }[]): readonly (readonly unknown[])[] {
  const groups = new Map<string, readonly [withoutToken: boolean, name: string, writtenAt: bigint, ttl: number]>();
  for (const { row, ttl } of rows) {
    const { device, withoutToken = false, writtenAt, deleted = false } = row;
    if (deleted) continue;
    const key = `${withoutToken} ${device.deviceGroup}`;
    const known = groups.get(key);
    if (known === undefined || known[2] < writtenAt) groups.set(key, [withoutToken, device.deviceGroup, writtenAt, ttl]);
  }
  return [...groups.values()];
}

/** Summaries that the change removes: of the group of before, and of those that the device passed through in the batch. */
function leftGroups({ before, row, reports }: DeviceChange): readonly (readonly unknown[])[] {
  const { deviceId, deviceGroup } = row.device;
  const groups = new Set(reports.map(({ report }) => report?.deviceGroup ?? deviceGroup));
  if (before !== undefined) groups.add(before.device.deviceGroup);
  if (row.deleted === true) groups.add(deviceGroup);
  else groups.delete(deviceGroup);
  return [...groups].map((group) => [row.writtenAt, group, deviceBucket(deviceId), deviceId]);
}

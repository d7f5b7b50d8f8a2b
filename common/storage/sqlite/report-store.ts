import type { DatabaseSync } from "node:sqlite";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Device, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { ReportSchema, type StoredReport, StoredReportSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { Page } from "../config-store.ts";
import { HISTORY_BYTES_PER_DEVICE, type ReportStore, type StatusRow } from "../report-store.ts";
import { attemptOf } from "./attempt.ts";
import { inTransaction, openDatabase } from "./open-database.ts";
import { decodeDevicePosition, decodeReportPosition, encodeDevicePosition, encodeReportPosition, type ReportPosition } from "./report-page-token.ts";
import { deviceListQuery, type Query, reportListQuery } from "./report-queries.ts";
import { REPORT_MIGRATIONS } from "./report-schema.ts";
import { bytes, integer, type Row, text } from "./rows.ts";

/** How many rows one call of `expire`, or of `expireDevices`, removes at most: SQLite has the event loop to itself meanwhile. */
const EXPIRED_PER_CALL = 200;
/** A page ends early when its items reach this many bytes: a gRPC client takes 4 MiB unless told otherwise. */
const PAGE_BYTES = 2 * 1024 * 1024;

/**
 * Opens the report store in an SQLite file of its own.
 * @param path the file, made where it is missing, or ":memory:"
 * @throws NebulaError as `openDatabase` does
 */
export async function openSqliteReportStore({ path }: { path: string }): Promise<ReportStore> {
  return createReportStore(openDatabase(path, REPORT_MIGRATIONS));
}

const attempt = attemptOf("report");

function createReportStore(database: DatabaseSync): ReportStore {
  const selectDevice = database.prepare("SELECT written_at, without_token, body FROM devices WHERE device_id = ?");
  const deleteDevice = database.prepare("DELETE FROM devices WHERE device_id = ?");
  const writeDevice = database.prepare(`
    INSERT INTO devices (device_id, device_group, state, written_at, without_token, body) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (device_id) DO UPDATE
    SET device_group = excluded.device_group, state = excluded.state, written_at = excluded.written_at, without_token = excluded.without_token,
      body = excluded.body
    WHERE excluded.written_at >= written_at`);
  const insertReport = database.prepare(`
    INSERT INTO reports (id, received_at, device_id, device_group, state, body, original, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING`);
  const selectPosition = database.prepare("SELECT received_at, number FROM reports WHERE id = ?");
  const deleteReports = database.prepare(`
    DELETE FROM reports WHERE number IN (SELECT number FROM reports WHERE received_at < ? ORDER BY received_at LIMIT ${EXPIRED_PER_CALL})`);

  const selectHistory = database.prepare("SELECT bytes FROM history WHERE device_id = ?");
  const countDevices = database.prepare(
    "SELECT count(*) AS devices FROM (SELECT 1 FROM devices INDEXED BY devices_without_token_by_group WHERE without_token = 1 AND device_group = ? LIMIT ?)",
  );
  // One look at the index per name: DISTINCT reads each of its rows.
  const nextName = "SELECT min(device_group) FROM devices INDEXED BY devices_without_token_by_group WHERE without_token = 1 AND device_group >";
  const selectGroups = database.prepare(`
    WITH RECURSIVE named (name) AS (${nextName} ? UNION ALL SELECT (${nextName} named.name) FROM named WHERE named.name IS NOT NULL)
    SELECT name FROM named WHERE name IS NOT NULL LIMIT ?`);
  const deleteDevices = database.prepare(`
    DELETE FROM devices WHERE device_id IN
    (SELECT device_id FROM devices WHERE without_token = 1 AND written_at < ? ORDER BY written_at LIMIT ${EXPIRED_PER_CALL})`);

  /** Answers whether there was room for it. */
  function insert({ id, report, originalJson, updated }: StoredReport): boolean {
    if (report === undefined) throw new TypeError(`report ${id} is empty`);
    const history = selectHistory.get(report.deviceId);
    if (history !== undefined && integer(history, "bytes") >= HISTORY_BYTES_PER_DEVICE) return false;
    const receivedAt = report.receivedAt === undefined ? 0 : timestampMs(report.receivedAt);
    const body = toBinary(ReportSchema, report);
    insertReport.run(id, receivedAt, report.deviceId, report.deviceGroup, report.state, body, originalJson, updated ? 1 : 0);
    return true;
  }

  /** Where the report of an id stands; one that has expired had only expired ones before its second. */
  function positionOf(id: string): ReportPosition {
    const row = selectPosition.get(id);
    if (row !== undefined) return { receivedAtMs: integer(row, "received_at"), number: integer(row, "number") };
    return { receivedAtMs: Number.parseInt(id.slice(0, 8), 16) * 1000 - 1, number: Number.MAX_SAFE_INTEGER };
  }

  function writeStatus({ device, writtenAt, withoutToken = false }: StatusRow): void {
    const state = device.report?.state ?? TargetState.UNSPECIFIED;
    writeDevice.run(device.deviceId, device.deviceGroup, state, writtenAt, withoutToken ? 1 : 0, toBinary(DeviceSchema, device));
  }

  function readPage<T>({ sql, parameters }: Query, limit: number, item: (row: Row) => T, position: (row: Row, item: T) => string): Page<T> {
    const items: T[] = [];
    let size = 0;
    let next: string | undefined;
    for (const row of database.prepare(sql).iterate(...parameters)) {
      // The row after the last one of the page is read only to know that there is one.
      if (items.length === limit || size >= PAGE_BYTES) return { items, next };
      const read = item(row);
      items.push(read);
      size += bytes(row, "body").length + (typeof row.original === "string" ? row.original.length : 0);
      next = position(row, read);
    }
    return { items, next: undefined };
  }

  return {
    async statuses(deviceIds) {
      return attempt("read statuses", () => {
        const rows = new Map<string, StatusRow>();
        for (const deviceId of deviceIds) {
          const row = selectDevice.get(deviceId);
          if (row === undefined) continue;
          const withoutToken = integer(row, "without_token") === 1;
          rows.set(deviceId, { device: readDevice(row), writtenAt: BigInt(integer(row, "written_at")), ...(withoutToken && { withoutToken }) });
        }
        return rows;
      });
    },

    async save({ reports, statuses }) {
      return attempt("save reports", () =>
        inTransaction(database, () => {
          const leftOut = reports.filter((report) => !insert(report)).length;
          for (const row of statuses) writeStatus(row);
          return { leftOut };
        }),
      );
    },

    async listReports(filter, { after, limit }) {
      const position = after === undefined ? undefined : decodeReportPosition(after);
      const { afterId } = filter;
      return attempt("list reports", () =>
        readPage(
          reportListQuery(filter, position ?? (afterId === undefined ? undefined : positionOf(afterId)), limit + 1),
          limit,
          readReport,
          (row) => encodeReportPosition({ receivedAtMs: integer(row, "received_at"), number: integer(row, "number") }),
        ),
      );
    },

    async listDevices(filter, { after, limit }) {
      const position = after === undefined ? undefined : decodeDevicePosition(after);
      return attempt("list devices", () =>
        readPage(deviceListQuery(filter, position, limit + 1), limit, readDevice, (_, device) => encodeDevicePosition(device)),
      );
    },

    async getDevice(deviceId) {
      return attempt("read a device", () => {
        const row = selectDevice.get(deviceId);
        return row === undefined ? undefined : readDevice(row);
      });
    },

    async deleteDevice(deviceId) {
      return attempt("forget a device", () => deleteDevice.run(deviceId).changes > 0);
    },

    async countWithoutToken(deviceGroup, most) {
      return attempt("count devices", () => integer(countDevices.get(deviceGroup, most) ?? {}, "devices"));
    },

    async groupsWithoutToken({ after, limit }) {
      return attempt("list groups of devices", () => selectGroups.all(after, limit).map((row) => text(row, "name")));
    },

    async expireDevices(writtenBeforeMs) {
      return attempt("remove devices", () => Number(deleteDevices.run(Math.floor(writtenBeforeMs) * 1000).changes));
    },

    async expire(receivedBeforeMs) {
      return attempt("remove old reports", () => Number(deleteReports.run(Math.floor(receivedBeforeMs)).changes));
    },

    async [Symbol.asyncDispose]() {
      if (database.isOpen) database.close();
    },
  };
}

function readDevice(row: Row): Device {
  return fromBinary(DeviceSchema, bytes(row, "body"));
}

function readReport(row: Row): StoredReport {
  const { id, original } = row;
  if (typeof id !== "string" || typeof original !== "string") throw new TypeError("the id of a report, or its original, is no text");
  const report = fromBinary(ReportSchema, bytes(row, "body"));
  return create(StoredReportSchema, { id, report, originalJson: original, updated: integer(row, "updated") === 1 });
}

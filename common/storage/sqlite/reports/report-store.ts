import { existsSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { type Device, DeviceSchema, type DeviceSummary } from "../../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { readMessage } from "../../../protobuf/binary-message.ts";
import { encodedSummary, readSummaries, readSummary } from "../../device-summary.ts";
import { encodedDevice } from "../../encoded-report.ts";
import {
  decodeDevicePosition,
  decodeReportPosition,
  decodeSummaryPosition,
  encodeDevicePosition,
  encodeSummaryPosition,
  PAGE_BYTES,
  type Page,
} from "../../page.ts";
import {
  type DeviceChange,
  type DeviceRecord,
  HISTORY_BYTES_PER_DEVICE,
  markerOf,
  type ReportStore,
  type StatusRow,
  type SummaryVersion,
} from "../../report-store.ts";
import { inReadTransaction, inTransaction, inTurns, openDatabase } from "../open-database.ts";
import { attemptOf, bodiesColumns, bodiesOf, bytes, integer, keysInPages, pageOfRows, type Row, text } from "../statements.ts";
import { createPresenceStore } from "./presence.ts";
import { ReportHistory, readReport } from "./report-history.ts";
import { deviceListQuery, type Query, reportListQuery, summaryListQuery } from "./report-queries.ts";
import { OF_UNKNOWN_TOKEN, REPORT_MIGRATIONS, RESOLVE_UNKNOWN_TOKENS, WITHOUT_SUMMARY } from "./report-schema.ts";

/** Ids of devices that are read at a time. */
const IDS = 500;
/** Summaries that are read at a time, half a page of a mirror; a large one has some 100 KB. */
const SUMMARIES = 125;
/** How many markers one call of `expire`, and how many rows one of `expireDevices`, removes at most: SQLite has the event loop to itself meanwhile. */
const EXPIRED_PER_CALL = 200;
/** Pages that the store keeps in memory, KiB: SQLite's 2 MB hold the pages of some 4,000 devices, and reports of others are each read from the file, and spill. */
const CACHE_KIB = 8192;
/**
 * Opens the report store in an SQLite file of its own.
 * @param path the file, made where it is missing, or ":memory:"
 * @param accessPath the file of the access store, where that is SQLite too: it says which devices have tokens
 * @throws NebulaError as `openDatabase` does
 */
export async function openSqliteReportStore({ path, accessPath }: { path: string; accessPath?: string }): Promise<ReportStore> {
  const database = openDatabase(path, REPORT_MIGRATIONS);
  database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
  if (accessPath !== undefined && existsSync(accessPath)) resolveUnknownTokens(database, accessPath);
  return createReportStore(database);
}

/** Rows of earlier versions expire like others once it is known whether their devices have tokens. */
function resolveUnknownTokens(database: DatabaseSync, accessPath: string): void {
  if (database.prepare(OF_UNKNOWN_TOKEN).get() === undefined) return;
  database.prepare("ATTACH DATABASE ? AS access").run(accessPath);
  try {
    database.exec(RESOLVE_UNKNOWN_TOKENS);
  } finally {
    database.exec("DETACH DATABASE access");
  }
}

const attempt = attemptOf("report");

function createReportStore(database: DatabaseSync): ReportStore {
  const history = new ReportHistory(database);
  const selectDevice = database.prepare("SELECT written_at, without_token, body FROM devices WHERE device_id = ?");
  const selectVersion = database.prepare(
    "SELECT written_at, 0 AS deleted FROM devices WHERE device_id = ? UNION ALL SELECT written_at, 1 FROM deleted_devices WHERE device_id = ? LIMIT 1",
  );
  const deleteDevice = database.prepare("DELETE FROM devices WHERE device_id = ?");
  const writeDevice = database.prepare(`
    INSERT INTO devices (device_id, device_group, state, written_at, without_token, body) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (device_id) DO UPDATE
    SET device_group = excluded.device_group, state = excluded.state, written_at = excluded.written_at, without_token = excluded.without_token,
      body = excluded.body
    WHERE excluded.written_at >= written_at`);
  // Of a device that stays where it was: no column of an index changes, so that none is written.
  const updateDevice = database.prepare(`
    UPDATE devices SET written_at = ?, body = ?
    WHERE device_id = ? AND device_group = ? AND state = ? AND without_token = ? AND written_at <= ?`);
  const updateSummary = database.prepare("UPDATE summaries SET written_at = ?, body = ? WHERE device_group = ? AND device_id = ?");
  const writeSummary = database.prepare("INSERT OR REPLACE INTO summaries (device_group, device_id, written_at, body) VALUES (?, ?, ?, ?)");
  const selectSummary = database.prepare("SELECT body FROM summaries WHERE device_group = ? AND device_id = ?");
  const listSummaries = database.prepare(`SELECT ${bodiesColumns("body")} FROM (${summaryListQuery("body", "", undefined, 0).sql})`);
  const listVersions = database.prepare(summaryListQuery("device_id, written_at", "", undefined, 0).sql);
  for (const statement of [selectSummary, listSummaries, listVersions]) statement.setReturnArrays(true);
  const withoutSummary = database.prepare(WITHOUT_SUMMARY);
  const selectMarker = database.prepare("SELECT written_at, body FROM deleted_devices WHERE device_id = ?");
  const deleteMarker = database.prepare("DELETE FROM deleted_devices WHERE device_id = ?");
  const writeMarker = database.prepare("INSERT OR REPLACE INTO deleted_devices (device_id, written_at, body) VALUES (?, ?, ?)");
  const deleteMarkers = database.prepare(`
    DELETE FROM deleted_devices WHERE device_id IN
    (SELECT device_id FROM deleted_devices WHERE written_at < ? ORDER BY written_at LIMIT ${EXPIRED_PER_CALL})`);
  const countDevices = database.prepare(
    "SELECT count(*) AS devices FROM (SELECT 1 FROM devices INDEXED BY devices_without_token_by_group WHERE without_token = 1 AND device_group = ? LIMIT ?)",
  );
  // One look at the index per name: DISTINCT reads each of its rows.
  const nextName = "SELECT min(device_group) FROM devices INDEXED BY devices_without_token_by_group WHERE without_token = 1 AND device_group >";
  const nextGroup = (after: string) => `SELECT min(name) FROM (
    SELECT min(device_group) AS name FROM summaries WHERE device_group > ${after} UNION ALL SELECT min(device_group) FROM presence WHERE device_group > ${after})`;
  const selectAllGroups = database.prepare(`
    WITH RECURSIVE named (name) AS (${nextGroup("?1")} UNION ALL SELECT (${nextGroup("named.name")}) FROM named WHERE named.name IS NOT NULL)
    SELECT name FROM named WHERE name IS NOT NULL LIMIT ?2`);
  const selectGroups = database.prepare(`
    WITH RECURSIVE named (name) AS (${nextName} ? UNION ALL SELECT (${nextName} named.name) FROM named WHERE named.name IS NOT NULL)
    SELECT name FROM named WHERE name IS NOT NULL LIMIT ?`);
  const deleteDevices = database.prepare(`
    DELETE FROM devices WHERE device_id IN
    (SELECT device_id FROM devices WHERE without_token = 1 AND written_at < ? ORDER BY written_at LIMIT ${EXPIRED_PER_CALL})`);

  const nextDevice = (after: string) => `SELECT min(device_id) FROM (
    SELECT min(device_id) AS device_id FROM devices WHERE device_id > ${after}
    UNION ALL SELECT min(device_id) FROM deleted_devices WHERE device_id > ${after}
    UNION ALL SELECT min(device_id) FROM reports WHERE device_id > ${after})`;
  const deviceIds = database.prepare(`
    WITH RECURSIVE named (device_id) AS (${nextDevice("?1")} UNION ALL SELECT (${nextDevice("named.device_id")}) FROM named WHERE named.device_id IS NOT NULL)
    SELECT device_id FROM named WHERE device_id IS NOT NULL LIMIT ${IDS}`);
  function readRecord(deviceId: string): DeviceRecord | undefined {
    const row = readRow(deviceId);
    const reports = history.of(deviceId);
    return row === undefined && reports.length === 0 ? undefined : { kind: "device", deviceId, row, reports };
  }

  function readRow(deviceId: string): StatusRow | undefined {
    const row = selectDevice.get(deviceId);
    if (row !== undefined) {
      const withoutToken = integer(row, "without_token") === 1;
      return { device: readDevice(row), writtenAt: BigInt(integer(row, "written_at")), ...(withoutToken && { withoutToken }) };
    }
    const marker = selectMarker.get(deviceId);
    return marker === undefined ? undefined : { device: readDevice(marker), writtenAt: BigInt(integer(marker, "written_at")), deleted: true };
  }

  /** A device has a row or a marker, the one with the larger version. */
  function writeRow({ device, writtenAt, withoutToken = false, deleted = false }: StatusRow): void {
    const { deviceId, deviceGroup } = device;
    const state = device.report?.state ?? TargetState.UNSPECIFIED;
    const token = withoutToken ? 1 : 0;
    const body = encodedDevice(device);
    if (!deleted && updateDevice.run(writtenAt, body, deviceId, deviceGroup, state, token, writtenAt).changes === 1) {
      putSummary(deviceGroup, deviceId, { device, writtenAt });
      return;
    }
    const stored = selectVersion.get(deviceId, deviceId);
    if (stored !== undefined && BigInt(integer(stored, "written_at")) > writtenAt) return;
    if (deleted) {
      deleteDevice.run(deviceId);
      writeMarker.run(deviceId, writtenAt, body);
    } else {
      writeDevice.run(deviceId, deviceGroup, state, writtenAt, token, body);
      if (stored !== undefined && integer(stored, "deleted") === 1) deleteMarker.run(deviceId);
      putSummary(deviceGroup, deviceId, { device, writtenAt });
    }
  }

  function putSummary(deviceGroup: string, deviceId: string, row: StatusRow): void {
    const summary = encodedSummary(row);
    if (summary === undefined || updateSummary.run(row.writtenAt, summary, deviceGroup, deviceId).changes === 1) return;
    writeSummary.run(deviceGroup, deviceId, row.writtenAt, summary);
  }

  /** Gives rows of earlier versions their summaries. */
  function addSummaries(): void {
    for (;;) {
      const keys = withoutSummary.all(IDS).map((row) => [text(row, "device_group"), text(row, "device_id")] as const);
      if (keys.length === 0) return;
      inTransaction(database, () => {
        for (const [deviceGroup, deviceId] of keys) {
          const row = readRow(deviceId);
          if (row !== undefined) putSummary(deviceGroup, deviceId, row);
        }
      });
    }
  }

  /** Reads a page of summaries: some at a time, which takes half as long as one at a time, and all may be large. */
  function summaryPage(deviceGroup: string, after: string, limit: number): Page<DeviceSummary> {
    const items: DeviceSummary[] = [];
    for (let [position, size] = [after, 0]; ; ) {
      const count = Math.min(limit - items.length, SUMMARIES);
      const bodies = bodiesOf(listSummaries.get(deviceGroup, position, count + 1) ?? {});
      items.push(...readSummaries(bodies.bytes, bodies.lengths.slice(0, count)));
      if (bodies.lengths.length <= count) return { items, next: undefined };
      size += bodies.bytes.length;
      position = items.at(-1)?.deviceId ?? "";
      if (items.length === limit || size >= PAGE_BYTES) return { items, next: encodeSummaryPosition(position) };
    }
  }

  function readPage<T>({ sql, parameters }: Query, limit: number, item: (row: Row) => T, position: (item: T) => string): Page<T> {
    const bytesOf = (_: T, row: Row) => bytes(row, "body").length + (typeof row.original === "string" ? row.original.length : 0);
    return pageOfRows(database.prepare(sql).iterate(...parameters), limit, item, position, bytesOf);
  }

  addSummaries();

  return {
    ...createPresenceStore(database),

    async statuses(deviceIds, signal) {
      signal?.throwIfAborted();
      const rows = new Map<string, StatusRow>();
      const readOne = (deviceId: string) => {
        const row = readRow(deviceId);
        if (row !== undefined) rows.set(deviceId, row);
      };
      await inTurns(deviceIds, (part) => attempt("read statuses", () => inReadTransaction(database, part)), readOne, signal);
      return rows;
    },

    async save(changes, signal) {
      signal?.throwIfAborted();
      let leftOut = 0;
      const saveOne = ({ row, reports }: DeviceChange) => {
        for (const report of reports) if (!history.insert(report, HISTORY_BYTES_PER_DEVICE)) leftOut++;
        writeRow(row);
      };
      await inTurns(changes, (part) => attempt("save reports", () => history.change(part)), saveOne, signal);
      return { leftOut };
    },

    async listReports(filter, { after, limit }, signal) {
      signal?.throwIfAborted();
      const position = after === undefined ? undefined : decodeReportPosition(after);
      return attempt("list reports", () => readPage(reportListQuery(filter, position, limit + 1), limit, readReport, ({ id }) => id));
    },

    async listDevices(filter, { after, limit }, signal) {
      signal?.throwIfAborted();
      const position = after === undefined ? undefined : decodeDevicePosition(after);
      return attempt("list devices", () => readPage(deviceListQuery(filter, position, limit + 1), limit, readDevice, encodeDevicePosition));
    },

    async getDevice(deviceId, signal) {
      signal?.throwIfAborted();
      return attempt("read a device", () => {
        const row = selectDevice.get(deviceId);
        return row === undefined ? undefined : readDevice(row);
      });
    },

    async listSummaries(deviceGroup, { after, limit }, signal) {
      signal?.throwIfAborted();
      const position = after === undefined ? "" : decodeSummaryPosition(after);
      return attempt("list summaries", () => summaryPage(deviceGroup, position, limit));
    },

    async listVersions(deviceGroup, { after, limit }, signal) {
      signal?.throwIfAborted();
      const position = after === undefined ? "" : decodeSummaryPosition(after);
      return attempt("list summaries", () => {
        const rows = listVersions.all(deviceGroup, position, limit + 1); // of a few bytes each
        return pageOfRows(rows, limit, readVersion, ({ deviceId }) => encodeSummaryPosition(deviceId));
      });
    },

    async summaries(deviceGroup, deviceIds, signal) {
      signal?.throwIfAborted();
      return attempt("read summaries", () => {
        const rows = deviceIds.map((deviceId) => selectSummary.get(deviceGroup, deviceId)).filter((row) => row !== undefined);
        return new Map(rows.map((row) => readSummary(bytes(row, 0))).map((summary) => [summary.deviceId, summary]));
      });
    },

    async groups({ after, limit }, signal) {
      signal?.throwIfAborted();
      return attempt("list groups of devices", () => selectAllGroups.all(after, limit).map((row) => text(row, "name")));
    },

    async deleteDevice(deviceId, signal) {
      signal?.throwIfAborted();
      return attempt("forget a device", () =>
        inTransaction(database, () => {
          const row = readRow(deviceId);
          if (row === undefined || row.deleted === true) return undefined;
          const marker = markerOf(row);
          writeRow(marker);
          return marker;
        }),
      );
    },

    async countWithoutToken(deviceGroup, most, signal) {
      signal?.throwIfAborted();
      return attempt("count devices", () => integer(countDevices.get(deviceGroup, most) ?? {}, "devices"));
    },

    async groupsWithoutToken({ after, limit }, signal) {
      signal?.throwIfAborted();
      return attempt("list groups of devices", () => selectGroups.all(after, limit).map((row) => text(row, "name")));
    },

    async expireDevices(writtenBeforeMs, signal) {
      signal?.throwIfAborted();
      return attempt("remove devices", () => Number(deleteDevices.run(Math.floor(writtenBeforeMs) * 1000).changes));
    },

    async expire(receivedBeforeMs, signal) {
      signal?.throwIfAborted();
      return attempt("remove old reports", () => {
        const markers = deleteMarkers.run(Math.floor(receivedBeforeMs) * 1000).changes;
        return Number(markers) + history.expire(receivedBeforeMs);
      });
    },

    records: {
      async *everything(_, signal) {
        const page = (after: string) => attempt("list devices", () => deviceIds.all(after)).map((row) => text(row, "device_id"));
        for (const deviceId of keysInPages(page, IDS)) {
          signal?.throwIfAborted();
          const record = attempt("read a device", () => readRecord(deviceId));
          if (record !== undefined) yield record;
        }
      },

      async counterpart({ deviceId }, signal) {
        signal?.throwIfAborted();
        return attempt("read a device", () => readRecord(deviceId));
      },

      async adopt({ row, reports }, signal) {
        signal?.throwIfAborted();
        attempt("save reports", () =>
          history.change(() => {
            for (const report of reports) history.insert(report, Number.POSITIVE_INFINITY);
            if (row !== undefined) writeRow(row);
          }),
        );
      },
    },

    async [Symbol.asyncDispose]() {
      if (database.isOpen) database.close();
    },
  };
}

function readDevice(row: Row): Device {
  return readMessage(DeviceSchema, bytes(row, "body"));
}

/** @param row its columns as a list: id and version */
function readVersion(row: Row): SummaryVersion {
  return { deviceId: text(row, 0), writtenAt: BigInt(integer(row, 1)) };
}

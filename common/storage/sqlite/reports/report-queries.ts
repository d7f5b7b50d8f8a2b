import type { DevicePosition } from "../../page.ts";
import { firstReportIdAt } from "../../report-id.ts";
import type { DeviceFilter, ReportFilter } from "../../report-store.ts";

/** A statement with its parameters in order. */
export type Query = Readonly<{ sql: string; parameters: readonly (string | number)[] }>;

/** A condition with its parameters. */
type Condition = readonly [sql: string, ...parameters: (string | number)[]];

/** Reports by id, at most `limit` of them, on the one index that holds the filter in the list's order. @param after the id that the page before ended with */
export function reportListQuery(filter: ReportFilter, after: string | undefined, limit: number): Query {
  const { deviceId, deviceGroup, receivedFromMs = 0, receivedUntilMs, state, afterId = "" } = filter;
  const index =
    deviceId !== undefined ? "device" : [...(deviceGroup === undefined ? [] : ["group"]), ...(state === undefined ? [] : ["state"])].join("_and_");
  const [from, last] = [firstReportIdAt(receivedFromMs), after === undefined || after < afterId ? afterId : after];
  return select(
    `SELECT id, body, original, updated FROM reports INDEXED BY ${index === "" ? "sqlite_autoindex_reports_1" : `reports_by_${index}`}`,
    [
      deviceId === undefined ? undefined : ["device_id = ?", deviceId],
      deviceGroup === undefined ? undefined : ["device_group = ?", deviceGroup],
      state === undefined ? undefined : ["state = ?", state],
      // One lower bound, not two: SQLite might seek by the worse one.
      last < from ? ["id >= ?", from] : ["id > ?", last],
      receivedUntilMs === undefined ? undefined : ["id < ?", firstReportIdAt(receivedUntilMs)],
    ],
    "id",
    limit,
  );
}

/** Devices by group and id, at most `limit` of them. */
export function deviceListQuery(filter: DeviceFilter, after: DevicePosition | undefined, limit: number): Query {
  const { deviceGroup, state } = filter;
  return select(
    `SELECT body FROM devices INDEXED BY devices_by_${state === undefined ? "group" : "state"}`,
    [
      state === undefined ? undefined : ["state = ?", state],
      deviceGroup === undefined ? undefined : ["device_group = ?", deviceGroup],
      after === undefined
        ? undefined
        : deviceGroup === undefined
          ? ["(device_group, device_id) > (?, ?)", after.deviceGroup, after.deviceId]
          : ["device_id > ?", after.deviceId],
    ],
    "device_group, device_id",
    limit,
  );
}

/** Summaries of a group by device id, at most `limit` of them. @param after the device that the page before ended with */
export function summaryListQuery(columns: string, deviceGroup: string, after: string | undefined, limit: number): Query {
  return select(
    `SELECT ${columns} FROM summaries`,
    [
      ["device_group = ?", deviceGroup],
      ["device_id > ?", after ?? ""],
    ],
    "device_id",
    limit,
  );
}

function select(from: string, conditions: readonly (Condition | undefined)[], order: string, limit: number): Query {
  const given = conditions.filter((condition) => condition !== undefined);
  const where = given.length === 0 ? "" : ` WHERE ${given.map(([sql]) => sql).join(" AND ")}`;
  return { sql: `${from}${where} ORDER BY ${order} LIMIT ?`, parameters: [...given.flatMap(([, ...parameters]) => parameters), limit] };
}

import type { JsonValue } from "@bufbuild/protobuf";
import { deviceFields, deviceTables, type Table } from "../../../common/insight/text/device-report.ts";
import { type Device, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import type { Paint } from "../output/paint.ts";
import { protoJson } from "../output/proto-json.ts";
import { renderFields, renderTable } from "../output/table.ts";

/** The most rows of one table of a device, since a report may be very large. */
const MOST_ROWS = 100;

export function deviceJson(device: Device): JsonValue {
  return protoJson(DeviceSchema, device);
}

/** Everything known about one device. @param now wall clock, milliseconds since 1970 */
export function deviceText(device: Device, now: number): (paint: Paint) => string {
  return (paint) => {
    const tables = device.report === undefined ? [] : deviceTables(device.report, now);
    const parts = [renderFields(deviceFields(device, now), paint), ...tables.map((table) => tableText(table, paint))];
    return parts.filter((part) => part !== "").join("\n");
  };
}

/** A table of at most MOST_ROWS rows; empty if it has no rows. */
function tableText({ header, rows }: Table, paint: Paint): string {
  if (rows.length === 0) return "";
  const more = rows.length - MOST_ROWS;
  return `${renderTable(header, rows.slice(0, MOST_ROWS), paint)}${more <= 0 ? "" : `and ${more} more; -o json shows all\n`}`;
}

/** The content of a line of the list of devices. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { printableLine } from "../../../../../common/printable.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import { ConnectionState, type Device, type TargetSummary } from "../../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, FailureCodeSchema, TargetState, TargetStateSchema } from "../../../../../gen/nebula/v1/report_pb.ts";

/** Whether a device is connected, and since when, milliseconds since 1970. */
export type Connection = Readonly<{ connection: "online" | "offline" | "unknown"; since: number | undefined }>;

export function connectionOf({ connection }: Pick<Device, "connection">): Connection {
  const state = connection?.state;
  return {
    connection: state === ConnectionState.ONLINE ? "online" : state === ConnectionState.OFFLINE ? "offline" : "unknown",
    since: connection?.since === undefined ? undefined : timestampMs(connection.since),
  };
}

export type DeviceRow = Connection &
  Readonly<{
    id: string;
    /** The id, without characters that move what stands beside it. */
    name: string;
    group: string;
    /** applied, working, failed or unknown. */
    state: string;
    /** `web exits`, `no_such_group`: what is wrong first, and how much more there is. */
    trouble: string;
    version: string;
    /** When it reported last, milliseconds since 1970. */
    reportedAt: number | undefined;
  }>;

export function deviceRow(device: Device): DeviceRow {
  const { deviceId, deviceGroup, summary } = device;
  return {
    id: deviceId,
    name: printableLine(deviceId),
    group: deviceGroup,
    ...connectionOf(device),
    state: enumWord(TargetStateSchema, summary?.state ?? TargetState.UNSPECIFIED) || "unknown",
    trouble: troubleText(summary?.targets ?? [], summary?.problems ?? []),
    version: summary === undefined ? "" : summary.original ? "the original" : printableLine(summary.workerVersion),
    reportedAt: summary === undefined || summary.receivedAtMs === 0n ? undefined : Number(summary.receivedAtMs),
  };
}

/** The rows, each device once: one that changed its place between two pages is on both. */
export function eachOnce(rows: readonly DeviceRow[]): readonly DeviceRow[] {
  return [...new Map(rows.map((row) => [row.id, row])).values()];
}

function troubleText(targets: readonly TargetSummary[], problems: readonly string[]): string {
  const failures = targets.flatMap(({ name, failureCode }) => {
    return failureCode === FailureCode.UNSPECIFIED ? [] : [`${name}: ${enumWord(FailureCodeSchema, failureCode) || "other"}`];
  });
  const [first, ...more] = [...problems, ...failures].map((text) => printableLine(text));
  return first === undefined ? "" : more.length === 0 ? first : `${first}, +${more.length}`;
}

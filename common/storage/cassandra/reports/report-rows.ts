import { createHash } from "node:crypto";
import { types } from "cassandra-driver";
import { type Device, DeviceSchema } from "../../../../gen/nebula/v1/device_pb.ts";
import { NebulaError } from "../../../errors/nebula-error.ts";
import { readMessage } from "../../../protobuf/binary-message.ts";
import { encodedDevice } from "../../encoded-report.ts";
import { receivedMs } from "../../report-id.ts";
import { STATUS_KEPT_MS, type StatusRow } from "../../report-store.ts";
import type { CassandraClient } from "../connection/client.ts";
import type { Row } from "../connection/rows.ts";
import { BUCKETS } from "../schema/report-tables.ts";

/** The operations of the client that a ReportStore uses. */
export type ReportClient = Pick<CassandraClient, "execute" | "executeMany">;

/** Names a device_group for lists of all of them. */
export const NAME_GROUP = "INSERT INTO reporting_group (without_token, device_group) VALUES (?, ?) USING TIMESTAMP ? AND TTL ?";

const HOUR_MS = 3_600_000;
/** The longest that Cassandra takes, seconds: 20 years. */
const LONGEST_TTL = 20 * 365 * 86_400;

/** The hour since 1970 of a time, milliseconds. */
export function hourOf(ms: number): number {
  return Math.floor(ms / HOUR_MS);
}

/** The first millisecond of an hour. */
export function hourMs(hour: number): number {
  return hour * HOUR_MS;
}

/** The partition of a device within its group. */
export function deviceBucket(deviceId: string): number {
  const [first = 0] = createHash("sha256").update(deviceId).digest();
  return first % BUCKETS.devices;
}

/** The partition of a report within an hour: ids end with a hash. */
export function reportBucket(id: string, buckets: number): number {
  return Number.parseInt(id.slice(-2), 16) % buckets;
}

/** Seconds until a row expires that is kept for `keptMs` from `fromMs` on; it is above 0. */
export function ttlSeconds(fromMs: number, keptMs: number, nowMs: number): number {
  return Math.min(Math.max(Math.ceil((fromMs + keptMs - nowMs) / 1000), 1), LONGEST_TTL);
}

/** Seconds until a device's row expires; 0: it does not. */
export function rowTtl({ device, withoutToken, deleted }: StatusRow, reportTtlMs: number, nowMs: number): number {
  if (deleted === true) return ttlSeconds(nowMs, reportTtlMs, nowMs);
  return withoutToken === true ? ttlSeconds(receivedMs(device.report?.receivedAt), STATUS_KEPT_MS, nowMs) : 0;
}

/** A row as the one cell that holds it: two writes of one version can never be mixed. */
export function encodeState({ device, writtenAt, withoutToken = false, deleted = false, historyBytes = new Map() }: StatusRow): types.Tuple {
  return new types.Tuple(writtenAt, deleted, withoutToken, Object.fromEntries(historyBytes), Buffer.from(encodedDevice(device)));
}

/** The row in the column `state`; undefined without a value. */
export function decodeState({ state }: Row): StatusRow | undefined {
  if (state === null || state === undefined) return undefined;
  if (!(state instanceof types.Tuple)) throw damaged();
  const writtenAt: unknown = state.get(0);
  const deleted: unknown = state.get(1);
  const withoutToken: unknown = state.get(2);
  const bytesByHour: unknown = state.get(3);
  const body: unknown = state.get(4);
  if (typeof writtenAt !== "bigint" || typeof bytesByHour !== "object" || !(body instanceof Uint8Array)) throw damaged();
  const historyBytes = new Map(Object.entries(bytesByHour ?? {}).map(([hour, bytes]) => [Number(hour), Number(bytes)]));
  return {
    device: readMessage(DeviceSchema, body),
    writtenAt,
    historyBytes,
    ...(withoutToken === true && { withoutToken }),
    ...(deleted === true && { deleted }),
  };
}

/** The device of a row, unless it was deleted. */
export function presentDevice(row: StatusRow | undefined): Device | undefined {
  return row === undefined || row.deleted === true ? undefined : row.device;
}

function damaged(): NebulaError {
  return new NebulaError("failed_precondition", "the store holds an unexpected state of a device: it is of another version, or damaged");
}

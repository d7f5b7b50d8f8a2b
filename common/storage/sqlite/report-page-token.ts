import { decodePosition, encodePosition, refusedPosition } from "./list-position.ts";

/** Where a page of reports ended. */
export type ReportPosition = Readonly<{ receivedAtMs: number; number: number }>;

/** Where a page of devices ended. */
export type DevicePosition = Readonly<{ deviceGroup: string; deviceId: string }>;

export function encodeReportPosition({ receivedAtMs, number }: ReportPosition): string {
  return encodePosition("reports", [receivedAtMs, number]);
}

/** @throws NebulaError `invalid_argument` naming page_token */
export function decodeReportPosition(token: string): ReportPosition {
  const [receivedAtMs, number, ...more] = decodePosition("reports", token);
  if (!isWhole(receivedAtMs) || !isWhole(number) || more.length > 0) throw refusedPosition(token);
  return { receivedAtMs, number };
}

export function encodeDevicePosition({ deviceGroup, deviceId }: DevicePosition): string {
  return encodePosition("devices", [deviceGroup, deviceId]);
}

/** @throws NebulaError `invalid_argument` naming page_token */
export function decodeDevicePosition(token: string): DevicePosition {
  const [deviceGroup, deviceId, ...more] = decodePosition("devices", token);
  if (typeof deviceGroup !== "string" || typeof deviceId !== "string" || more.length > 0) throw refusedPosition(token);
  return { deviceGroup, deviceId };
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

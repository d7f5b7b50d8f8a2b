import { invalidArgument, type NebulaError } from "../../errors/nebula-error.ts";
import { pageTokenViolation } from "../../validation/page.ts";

/** Where a page of reports ended. */
export type ReportPosition = Readonly<{ receivedAtMs: number; number: number }>;

/** Where a page of devices ended. */
export type DevicePosition = Readonly<{ deviceGroup: string; deviceId: string }>;

export function encodeReportPosition({ receivedAtMs, number }: ReportPosition): string {
  return encode("reports", [receivedAtMs, number]);
}

/** @throws NebulaError `invalid_argument` naming page_token */
export function decodeReportPosition(token: string): ReportPosition {
  const [receivedAtMs, number, ...more] = decode("reports", token);
  if (!isWhole(receivedAtMs) || !isWhole(number) || more.length > 0) throw refused(token);
  return { receivedAtMs, number };
}

export function encodeDevicePosition({ deviceGroup, deviceId }: DevicePosition): string {
  return encode("devices", [deviceGroup, deviceId]);
}

/** @throws NebulaError `invalid_argument` naming page_token */
export function decodeDevicePosition(token: string): DevicePosition {
  const [deviceGroup, deviceId, ...more] = decode("devices", token);
  if (typeof deviceGroup !== "string" || typeof deviceId !== "string" || more.length > 0) throw refused(token);
  return { deviceGroup, deviceId };
}

function encode(list: string, position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([list, ...position])).toString("base64url");
}

function decode(list: string, token: string): readonly unknown[] {
  const bytes = Buffer.from(token, "base64url");
  if (bytes.toString("base64url") !== token) throw refused(token);
  const value = parse(bytes.toString("utf8"));
  if (!Array.isArray(value) || value[0] !== list) throw refused(token);
  return value.slice(1);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function refused(token: string): NebulaError {
  return invalidArgument([pageTokenViolation(token)]);
}

/** Pages of lists: their requests, their bounds and their tokens, the same in every store. */
import { invalidArgument, type NebulaError } from "../errors/nebula-error.ts";
import { pageTokenViolation } from "../validation/list-request.ts";
import { isReportId } from "./report-id.ts";

export type PageRequest = Readonly<{
  /** `next` of the page before. */
  after?: string;
  /** 1 to 1000. */
  limit: number;
}>;

export type Page<T> = Readonly<{
  items: readonly T[];
  /** `after` of the next page, opaque to callers; undefined: this was the last one. */
  next: string | undefined;
}>;

/** A page ends early when its items reach this many bytes: a gRPC client takes 4 MiB by default. */
export const PAGE_BYTES = 2 * 1024 * 1024;

/** Encodes the position at which a page of the named list ended as an opaque token. */
export function encodePosition(list: string, position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([list, ...position])).toString("base64url");
}

/**
 * Decodes the position in a token of the named list. The caller checks its parts.
 * @throws NebulaError `invalid_argument` naming page_token
 */
export function decodePosition(list: string, token: string): readonly unknown[] {
  const bytes = Buffer.from(token, "base64url");
  if (bytes.toString("base64url") !== token) throw refusedPosition(token);
  const value = parse(bytes.toString("utf8"));
  if (!Array.isArray(value) || value[0] !== list) throw refusedPosition(token);
  return value.slice(1);
}

/** Decodes a position that is one text. Throws as `decodePosition` does. */
export function decodeTextPosition(list: string, token: string): string {
  const [text, ...more] = decodePosition(list, token);
  if (typeof text !== "string" || more.length > 0) throw refusedPosition(token);
  return text;
}

/** Decodes a position of a list by time: when its last item was made, milliseconds since 1970, and the item's id. Throws as `decodePosition` does. */
export function decodeTimePosition(list: string, token: string): readonly [at: number, id: string] {
  const [at, id, ...more] = decodePosition(list, token);
  if (typeof at !== "number" || !Number.isSafeInteger(at) || typeof id !== "string" || more.length > 0) throw refusedPosition(token);
  return [at, id];
}

export function refusedPosition(token: string): NebulaError {
  return invalidArgument([pageTokenViolation(token)]);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// --- positions of reports, devices and presence

/** The position at which a page of presence ended. */
export type PresencePosition = Readonly<{ deviceId: string; shardBoot: string }>;

export function encodePresencePosition({ deviceId, shardBoot }: PresencePosition): string {
  return encodePosition("presence", [deviceId, shardBoot]);
}

/** @throws NebulaError `invalid_argument` naming page_token */
export function decodePresencePosition(token: string): PresencePosition {
  const [deviceId, shardBoot, ...more] = decodePosition("presence", token);
  if (typeof deviceId !== "string" || typeof shardBoot !== "string" || more.length > 0) throw refusedPosition(token);
  return { deviceId, shardBoot };
}

/** The position at which a page of devices ended. */
export type DevicePosition = Readonly<{ deviceGroup: string; deviceId: string }>;

/**
 * Returns the position in a token of the list of reports: the id of the last report of the page.
 * @throws NebulaError `invalid_argument` naming page_token
 */
export function decodeReportPosition(token: string): string {
  if (!isReportId(token)) throw refusedPosition(token);
  return token;
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

/** The position at which a page of summaries of a device_group ended: the device. */
export function encodeSummaryPosition(deviceId: string): string {
  return encodePosition("summaries", [deviceId]);
}

/** @throws NebulaError `invalid_argument` naming page_token */
export function decodeSummaryPosition(token: string): string {
  return decodeTextPosition("summaries", token);
}

import { create } from "@bufbuild/protobuf";
import { type Device, DeviceSchema, type DeviceSummary } from "../../gen/nebula/v1/device_pb.ts";
import type { StoredReport, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { Movable } from "./movable.ts";
import type { Page, PageRequest } from "./page.ts";
import type { PresenceStore } from "./presence-store.ts";

/** The newest status of a device, or the marker of a deleted one, and the version of its row. */
export type StatusRow = Readonly<{
  /** Of a marker: the device's id and group, and its boots with their newest seq; nothing else. */
  device: Device;
  /** Microseconds since 1970, rising with every write of the row: a write with an older one loses. */
  writtenAt: bigint;
  /** Whether the device has no token of its own: the row expires after its newest report. Absent: it has one. */
  withoutToken?: boolean;
  /** Whether the device was deleted: the row is a marker, for as long as reports are kept. Absent: it was not. */
  deleted?: boolean;
  /** Bytes that the history holds of the device by hour (hours since 1970). Only a driver that counts them in the row sets it. */
  historyBytes?: ReadonlyMap<number, number>;
}>;

/** A device whose row changes, with the reports that are new in the history. */
export type DeviceChange = Readonly<{
  /** The row that `statuses` answered; undefined if it answered no row. */
  before: StatusRow | undefined;
  row: StatusRow;
  /** All of this device, each with the id that `reportId` gives it. */
  reports: readonly StoredReport[];
}>;

/**
 * A device as one store hands it to another: its row, and its reports in the history by id, of which there are at most HISTORY_BYTES_PER_DEVICE and one more.
 * The row is absent where it has expired before the reports. A record without a row, and with some of the reports, is a part of the one that has all.
 */
export type DeviceRecord = Readonly<{
  kind: "device";
  deviceId: string;
  /** Without historyBytes, which each driver counts for itself. */
  row: StatusRow | undefined;
  reports: readonly StoredReport[];
}>;

/** Bytes that the history holds of one device, body and original; beyond it a report is not inserted. */
export const HISTORY_BYTES_PER_DEVICE = 16 * 1024 * 1024;

/** How long the newest status of a device without a token of its own is kept after its newest report, milliseconds. */
export const STATUS_KEPT_MS = 30 * 86_400_000;

export type ReportFilter = Readonly<{
  deviceId?: string;
  deviceGroup?: string;
  /** Received at this time or later, milliseconds since 1970. */
  receivedFromMs?: number;
  /** Received before this time, milliseconds since 1970. */
  receivedUntilMs?: number;
  state?: TargetState;
  /** Only reports with a larger id, 24 hexadecimal digits in lower case. */
  afterId?: string;
}>;

export type DeviceFilter = Readonly<{ deviceGroup?: string; state?: TargetState }>;

/** The version of a device's summary, that of its row. */
export type SummaryVersion = Readonly<{ deviceId: string; writtenAt: bigint }>;

/**
 * The newest status of every device, the reports of the last hours, and which devices have a watch open (PresenceStore).
 *
 * Each method rejects with `unavailable` when the store does not answer, and with the signal's reason once that is aborted. A page may hold fewer items than
 * asked for, or none, and still have a next one; the token of a full page names its last item.
 */
export interface ReportStore extends PresenceStore, AsyncDisposable {
  readonly records: Movable<DeviceRecord>;
  /** The rows of these devices, markers included; devices that are not known are absent. */
  statuses(deviceIds: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, StatusRow>>;
  /**
   * Writes each device's reports (an id that exists is written again, and is there once; a report of a device with HISTORY_BYTES_PER_DEVICE in the history is
   * left out), then what lists and filters read, the device's row last. A row with an older `writtenAt` than the stored one loses. A call that was cut anywhere
   * may be repeated as it is. Answers how many reports were left out because of their device's bytes.
   */
  save(changes: readonly DeviceChange[], signal?: AbortSignal): Promise<Readonly<{ leftOut: number }>>;
  /** The history by id, that is by received_at, oldest first; the ids are its page tokens. */
  listReports(filter: ReportFilter, page: PageRequest, signal?: AbortSignal): Promise<Page<StoredReport>>;
  /** Devices by group and id. */
  listDevices(filter: DeviceFilter, page: PageRequest, signal?: AbortSignal): Promise<Page<Device>>;
  getDevice(deviceId: string, signal?: AbortSignal): Promise<Device | undefined>;
  /** Summaries of the devices of a group by device id: `summaryOf` of their rows, also of rows that an earlier version wrote. Reads no body of these. */
  listSummaries(deviceGroup: string, page: PageRequest, signal?: AbortSignal): Promise<Page<DeviceSummary>>;
  /** The versions of the summaries of a group by device id, without the summaries. */
  listVersions(deviceGroup: string, page: PageRequest, signal?: AbortSignal): Promise<Page<SummaryVersion>>;
  /** Summaries of these devices; one that is not in the group is absent. */
  summaries(deviceGroup: string, deviceIds: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, DeviceSummary>>;
  /** Names of the groups that devices reported from or connected in, or did until lately, sorted; `after`: only later names. */
  groups(page: Readonly<{ after: string; limit: number }>, signal?: AbortSignal): Promise<readonly string[]>;
  /**
   * Replaces the newest status of a device by a marker with its version + 1, which `statuses` answers for as long as reports are kept; answers the marker,
   * undefined when there is no status.
   */
  deleteDevice(deviceId: string, signal?: AbortSignal): Promise<StatusRow | undefined>;
  /** The devices of a group without a token of their own; counts to `most` at the furthest. */
  countWithoutToken(deviceGroup: string, most: number, signal?: AbortSignal): Promise<number>;
  /** Names of the groups that have devices without a token of their own, or had some until lately, sorted; `after`: only later names. */
  groupsWithoutToken(page: Readonly<{ after: string; limit: number }>, signal?: AbortSignal): Promise<readonly string[]>;
  /**
   * Removes the newest status of devices without a token of their own that was written before this time, a bounded number per call; answers how many. A store with
   * a TTL of its own answers 0.
   */
  expireDevices(writtenBeforeMs: number, signal?: AbortSignal): Promise<number>;
  /**
   * Removes reports that were received, and markers that were written, before this time, a bounded number of each per call; answers how many. A store with a TTL
   * of its own answers 0.
   */
  expire(receivedBeforeMs: number, signal?: AbortSignal): Promise<number>;
}

/**
 * Returns the row that takes the place of a deleted device's: its boots stay known with their newest seq, so reading a part of the log again does not bring the
 * device back.
 */
export function markerOf({ device, writtenAt }: StatusRow): StatusRow {
  const { deviceId, deviceGroup, report, supersededBoots } = device;
  const known = report && { deviceId, deviceGroup, boot: report.boot, seq: report.seq, receivedAt: report.receivedAt };
  return { device: create(DeviceSchema, { deviceId, deviceGroup, report: known, supersededBoots }), writtenAt: writtenAt + 1n, deleted: true };
}

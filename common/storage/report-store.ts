import type { Device } from "../../gen/nebula/v1/device_pb.ts";
import type { StoredReport, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { Page } from "./config-store.ts";

/** A device's newest status, and the version of its row. */
export type StatusRow = Readonly<{
  device: Device;
  /** Microseconds since 1970, rising with every write of the row: a write with an older one loses. */
  writtenAt: bigint;
  /** Whether the device has no token of its own: the row expires after its newest report. Absent: it has one. */
  withoutToken?: boolean;
}>;

/** Bytes that the history holds of one device, body and original; beyond it a report is not inserted. */
export const HISTORY_BYTES_PER_DEVICE = 16 * 1024 * 1024;

export type ReportFilter = Readonly<{
  deviceId?: string;
  deviceGroup?: string;
  /** Received at this time or later, milliseconds since 1970. */
  receivedFromMs?: number;
  /** Received before this time, milliseconds since 1970. */
  receivedUntilMs?: number;
  state?: TargetState;
  /** After the report of this id in the list's order, 24 hexadecimal digits; where there is none any more, from its second on. */
  afterId?: string;
}>;

export type DeviceFilter = Readonly<{ deviceGroup?: string; state?: TargetState }>;

export type PageRequest = Readonly<{
  /** `next` of the page before. */
  after?: string;
  /** 1 to 1000. */
  limit: number;
}>;

/** The newest status of every device, and the reports of the last hours. */
export interface ReportStore extends AsyncDisposable {
  /** The status rows of these devices; devices never heard of are absent. */
  statuses(deviceIds: readonly string[]): Promise<ReadonlyMap<string, StatusRow>>;
  /**
   * Inserts the reports (an id that is there already changes nothing, nor does one of a device with HISTORY_BYTES_PER_DEVICE in the history), then writes the rows
   * (one with an older `writtenAt` than the stored one changes nothing). Answers how many reports were left out because of their device's bytes.
   */
  save(batch: { reports: readonly StoredReport[]; statuses: readonly StatusRow[] }): Promise<Readonly<{ leftOut: number }>>;
  /** The history by received_at, oldest first. */
  listReports(filter: ReportFilter, page: PageRequest): Promise<Page<StoredReport>>;
  /** Devices by group and id. */
  listDevices(filter: DeviceFilter, page: PageRequest): Promise<Page<Device>>;
  getDevice(deviceId: string): Promise<Device | undefined>;
  /** Forgets the newest status of a device; false when there was none. */
  deleteDevice(deviceId: string): Promise<boolean>;
  /** The devices of a group without a token of their own; counts to `most` at the furthest. */
  countWithoutToken(deviceGroup: string, most: number): Promise<number>;
  /** Names of the groups that have devices without a token of their own, sorted; `after`: only later names. */
  groupsWithoutToken(page: Readonly<{ after: string; limit: number }>): Promise<readonly string[]>;
  /**
   * Removes the newest status of devices without a token of their own that was written before this time, a bounded number per call; answers how many. A store with
   * a TTL of its own answers 0.
   */
  expireDevices(writtenBeforeMs: number): Promise<number>;
  /** Removes reports that were received before this time, a bounded number per call; answers how many. A store with a TTL of its own answers 0. */
  expire(receivedBeforeMs: number): Promise<number>;
}

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import type { Api } from "../harness/api.ts";
import type { Acknowledged } from "./device-record.ts";

/** How much later than it was received a report may be folded, faults included: how far back the history is read again, milliseconds. */
const LATE_MS = 60_000;
const PAGE = 1000;

/** The reports of a fleet on the server: the history, and the devices' rows. */
export class ReportLedger {
  readonly #api: Api;
  /** Ids in the history, by device, boot and seq. */
  readonly #ids = new Map<string, Set<string>>();
  /** The newest acknowledged report of each device. */
  readonly #newest = new Map<string, Acknowledged>();
  /** How many of the acknowledged reports were found. */
  #found = 0;
  #readFromMs = Date.now();

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * Says each report that was acknowledged and is not in the history, is there twice, or is newer than the device's row. Nothing: all is folded, and is not
   * looked at again.
   * @param acknowledged all of them, since the ledger was made
   * @param behindMs how far the clock of a shard is behind this one
   */
  async flaws(acknowledged: readonly Acknowledged[], behindMs = 0): Promise<string[]> {
    const began = Date.now();
    await this.#readHistory(this.#readFromMs - LATE_MS - behindMs);
    const rows = await this.#readRows();
    const flaws: string[] = [];
    for (const report of acknowledged.slice(this.#found)) {
      this.#newest.set(report.deviceId, report); // in the order in which they were acknowledged
      if (!this.#ids.has(keyOf(report))) flaws.push(`${keyOf(report)} was acknowledged and is not in the history`);
    }
    for (const [key, ids] of this.#ids) if (ids.size > 1) flaws.push(`${key} is in the history ${ids.size} times`);
    for (const [deviceId, { boot, seq }] of this.#newest) {
      const row = rows.get(deviceId);
      if (row === undefined || row.boot !== boot || row.seq < seq)
        flaws.push(`${deviceId}'s row is at ${row?.boot}/${row?.seq}, not at ${boot}/${seq}`);
    }
    if (flaws.length === 0) {
      this.#found = acknowledged.length;
      this.#readFromMs = began;
    }
    return flaws;
  }

  async #readHistory(fromMs: number): Promise<void> {
    let pageToken = "";
    do {
      const request = { receivedFrom: timestampFromMs(fromMs), pageSize: PAGE, pageToken };
      const answer = await this.#api.channel.unary(ReportService.method.listReports, request, this.#call);
      for (const { id, report } of answer.reports) {
        if (report === undefined) continue;
        const ids = this.#ids.get(keyOf(report)) ?? new Set();
        this.#ids.set(keyOf(report), ids.add(id));
      }
      pageToken = answer.nextPageToken;
    } while (pageToken !== "");
  }

  async #readRows(): Promise<ReadonlyMap<string, Acknowledged>> {
    const rows = new Map<string, Acknowledged>();
    let pageToken = "";
    do {
      const answer = await this.#api.channel.unary(DeviceService.method.listDevices, { pageSize: PAGE, pageToken }, this.#call);
      for (const { report } of answer.devices) if (report !== undefined) rows.set(report.deviceId, report);
      pageToken = answer.nextPageToken;
    } while (pageToken !== "");
    return rows;
  }

  get #call() {
    return { headers: this.#api.headers, timeoutMs: 30_000 };
  }
}

function keyOf({ deviceId, boot, seq }: Acknowledged): string {
  return `${deviceId}/${boot}/${seq}`;
}

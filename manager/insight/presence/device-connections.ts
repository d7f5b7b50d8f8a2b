import { create } from "@bufbuild/protobuf";
import type { Clock } from "../../../common/clock/clock.ts";
import { type Boots, bootsAt, connectionOf, decidingRow, type NewestReport } from "../../../common/insight/connection.ts";
import { ORIGINAL_BOOT } from "../../../common/storage/device-summary.ts";
import type { PresenceRow, ShardRow } from "../../../common/storage/presence-store.ts";
import { receivedMs } from "../../../common/storage/report-id.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { type Device, type DeviceConnection, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";

/** How long the list of boots is used, milliseconds: far less than a boot lives without a mark. */
const KEPT_MS = 5000;
/** How soon a list without a boot that a row names is read again, milliseconds: that boot may have started since. */
const AGAIN_MS = 500;

export type DeviceConnectionsDeps = Readonly<{
  store: Pick<ReportStore, "presenceOf" | "listShards" | "getDevice">;
  /** The boot of this shard. */
  ownBoot: string;
  clock: Clock;
}>;

/** Whether devices are connected, read from the store. */
export class DeviceConnections {
  readonly #deps: DeviceConnectionsDeps;
  #shards: readonly ShardRow[] = [];
  /** When the boots were read last, monotonic milliseconds. */
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(deps: DeviceConnectionsDeps) {
    this.#deps = deps;
  }

  /** Returns the boots that are kept, read lately; those that the rows name are among them unless the store has them no more. */
  async boots(rows: Iterable<PresenceRow>, signal: AbortSignal): Promise<Boots> {
    const { clock, ownBoot, store } = this.#deps;
    const known = () => bootsAt(this.#shards, clock.now(), ownBoot);
    const ageMs = clock.monotonic() - this.#readAt;
    const boots = known();
    const isComplete = ageMs < KEPT_MS && (ageMs < AGAIN_MS || [...rows].every(({ shardBoot, ended }) => ended || boots.has(shardBoot)));
    if (isComplete) return boots;
    const readAt = clock.monotonic();
    this.#shards = await store.listShards(signal);
    this.#readAt = readAt;
    return known();
  }

  /** Returns the devices with their connection. */
  async withConnections(devices: readonly Device[], signal: AbortSignal): Promise<readonly Device[]> {
    if (devices.length === 0) return devices;
    const { store, clock } = this.#deps;
    const rows = await store.presenceOf(
      devices.map(({ deviceId }) => deviceId),
      signal,
    );
    const boots = await this.boots([...rows.values()].flat(), signal);
    const nowMs = clock.now();
    return devices.map((device) => {
      const connection: DeviceConnection = connectionOf(rows.get(device.deviceId) ?? [], newestReport(device), boots, nowMs);
      return { ...device, connection };
    });
  }

  /** Returns a device that connected and never reported, with its connection; undefined if it never connected. */
  async withoutReport(deviceId: string, signal: AbortSignal): Promise<Device | undefined> {
    const rows = await this.#rowsOf(deviceId, signal);
    const boots = await this.boots(rows, signal);
    const deviceGroup = decidingRow(rows, boots)?.deviceGroup;
    if (deviceGroup === undefined) return undefined;
    return create(DeviceSchema, { deviceId, deviceGroup, connection: connectionOf(rows, undefined, boots, this.#deps.clock.now()) });
  }

  /** Returns the connection of a device; undefined if it neither reported nor connected. */
  async connectionOf(deviceId: string, signal: AbortSignal): Promise<DeviceConnection | undefined> {
    const reported = await this.#deps.store.getDevice(deviceId, signal);
    if (reported === undefined) return (await this.withoutReport(deviceId, signal))?.connection;
    return (await this.withConnections([reported], signal))[0]?.connection;
  }

  /** Returns the rows of a device whose watches are not open any more. */
  async endedRows(deviceId: string, signal: AbortSignal): Promise<readonly PresenceRow[]> {
    const rows = await this.#rowsOf(deviceId, signal);
    const boots = await this.boots(rows, signal);
    return rows.filter(({ ended, shardBoot }) => ended || boots.get(shardBoot)?.lives !== true);
  }

  async #rowsOf(deviceId: string, signal: AbortSignal): Promise<readonly PresenceRow[]> {
    return (await this.#deps.store.presenceOf([deviceId], signal)).get(deviceId) ?? [];
  }
}

/** The part of a device's newest report that tells of its connection. */
export function newestReport({ report }: Device): NewestReport | undefined {
  return report && { receivedMs: receivedMs(report.receivedAt), original: report.boot === ORIGINAL_BOOT };
}

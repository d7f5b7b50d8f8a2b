import { DeviceTally } from "../../../common/insight/device-tally.ts";
import { isSameConfig } from "../../../common/insight/newest-config.ts";
import type { Device, DeviceCounts, WatchDevicesRequest } from "../../../gen/nebula/v1/device_pb.ts";
import { GroupCounting } from "../../insight/views/group-counting.ts";
import { type DeviceChange, type DeviceInGroup, type GroupView, withoutMove } from "../../insight/views/group-view.ts";
import { lookInTurns } from "../../insight/views/in-turns.ts";
import { type Followed, matcherOf } from "./device-target.ts";
import type { Compared } from "./fleet-reader.ts";
import { answered } from "./list-devices.ts";

/** Devices of a message. */
const MOST_DEVICES = 100;

/** Devices as they are now, and those that left. */
export type Changed = Readonly<{ devices: Device[]; left: { deviceId: string; deviceGroup: string }[] }>;

/** The facts that the devices of a group are compared with. */
type Beside = Compared & Readonly<{ followed: Followed | undefined }>;

/** A group of a watch: what of it has to be sent, and what the reader has of it. Holds ids of devices, each once, and no device. */
export class WatchedGroup {
  readonly view: GroupView;
  readonly #request: Pick<WatchDevicesRequest, "filter" | "countsOnly">;
  /** Ids of devices to look at. */
  readonly #open: Set<string>;
  /** Ids of devices that the reader has. */
  readonly #sent = new Set<string>();
  #beside: Beside;
  #matches: (device: DeviceInGroup, nowMs: number) => boolean;
  #tally: DeviceTally;
  /** The count of all devices that goes on. */
  #counting: GroupCounting<DeviceTally> | undefined;
  /** Whether the reader has the counts. */
  #isCounted = false;

  /** @param view its changes are passed to `changed` from now on; `count` comes next */
  constructor(view: GroupView, beside: Beside, request: Pick<WatchDevicesRequest, "filter" | "countsOnly">) {
    this.view = view;
    this.#request = request;
    this.#open = new Set(request.countsOnly ? [] : view.devices.keys());
    this.#beside = beside;
    this.#matches = this.#matcher();
    this.#tally = new DeviceTally(beside.newest);
  }

  get isSent(): boolean {
    return this.#open.size === 0;
  }

  changed(changes: readonly DeviceChange[]): void {
    for (const change of changes) {
      if (this.#counting !== undefined) this.#counting.change(change);
      else this.#tally.change(withoutMove(change));
      const deviceId = (change.after ?? change.before)?.deviceId;
      if (deviceId !== undefined && !this.#request.countsOnly) this.#open.add(deviceId);
    }
    this.#isCounted = false;
  }

  /** Counts all devices with the config of now, part by part. */
  async count(signal: AbortSignal): Promise<void> {
    const counting = new GroupCounting(new DeviceTally(this.#beside.newest));
    this.#counting = counting;
    await counting.run(this.view.devices, signal);
    this.#counting = undefined;
    this.#tally = counting.standing;
    this.#isCounted = false;
  }

  /** Takes what time, a newer config or a newer target changed without a change of a device, part by part. */
  async look(beside: Beside, nowMs: number, signal: AbortSignal): Promise<void> {
    const isSame = isSameConfig(beside.newest, this.#beside.newest);
    this.#beside = beside;
    this.#matches = this.#matcher();
    if (!isSame) await this.count(signal);
    if (this.#request.countsOnly || this.#request.filter === undefined) return;
    const openIfOther = (device: DeviceInGroup) => {
      if (this.#isIn(device, nowMs) !== this.#sent.has(device.deviceId)) this.#open.add(device.deviceId);
    };
    await lookInTurns(this.view.devices.values(), openIfOther, signal);
  }

  /** Moves devices into a message until that is full, or as many were looked at; answers how many were. */
  take({ devices, left }: Changed, most: number, nowMs: number): number {
    const { deviceGroup } = this.view;
    let looked = 0;
    for (const deviceId of this.#open) {
      if (looked >= most || devices.length >= MOST_DEVICES || left.length >= MOST_DEVICES) break;
      looked++;
      this.#open.delete(deviceId);
      const device = this.view.devices.get(deviceId);
      if (device !== undefined && this.#isIn(device, nowMs)) {
        this.#sent.add(deviceId);
        devices.push(answered({ deviceGroup, device }));
      } else if (this.#sent.delete(deviceId)) left.push({ deviceId, deviceGroup });
    }
    return looked;
  }

  /** The counts, where they changed since they were taken. */
  takeCounts(): DeviceCounts[] {
    if (this.#isCounted) return [];
    this.#isCounted = true;
    return [this.#tally.counts(this.view.deviceGroup)];
  }

  #isIn(device: DeviceInGroup, nowMs: number): boolean {
    return device.moves !== true && this.#matches(device, nowMs);
  }

  #matcher(): (device: DeviceInGroup, nowMs: number) => boolean {
    return matcherOf(this.#request.filter, this.view.deviceGroup, this.#beside, this.#beside.followed);
  }
}

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type DeviceState, isOnline, type StateOfDevice, stateOfDevice, type Target } from "../../../common/insight/device-state.ts";
import { type ApplyCodeCountSchema, type ApplyDeviceSchema, DeviceStanding } from "../../../gen/nebula/v1/apply_pb.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { DeviceInGroup } from "../views/group-view.ts";

/** Devices that a message names. */
const MOST_NAMED = 100;

export type ChangedDevice = MessageInitShape<typeof ApplyDeviceSchema> & Readonly<{ deviceId: string; standing: DeviceStanding }>;

export const STANDINGS: Readonly<Record<DeviceState, DeviceStanding>> = {
  applied: DeviceStanding.APPLIED,
  failed: DeviceStanding.FAILED,
  offline: DeviceStanding.OFFLINE,
  working: DeviceStanding.WORKING,
  waiting: DeviceStanding.WAITING,
};

type Counts = Record<DeviceState, number> & { online: number; onlineApplied: number };

/**
 * Devices of a change in numbers, which move by what each changed device was and is: nothing is kept per device.
 *
 * T1 The numbers equal a count of all devices that were added and not removed, each with the targets that it was added with.
 * T2 At most MOST_NAMED changed devices are kept by name; of further ones there are numbers.
 */
export class ApplyTally {
  readonly counts: Counts = { applied: 0, failed: 0, offline: 0, working: 0, waiting: 0, online: 0, onlineApplied: 0 };
  readonly #failures = new Map<FailureCode, number>();
  /** By group and device: no text is made for each device that changes. */
  readonly #named = new Map<string, Map<string, ChangedDevice>>();
  #names = 0;
  readonly #more = new Map<DeviceStanding, Map<FailureCode, number>>();

  /** Counts a device that is there at first: only one that failed is noted as changed. */
  add(device: DeviceInGroup, deviceGroup: string, targets: readonly Target[]): void {
    const state = stateOfDevice(device, targets);
    this.#count(device, state, 1);
    if (state.state === "failed") this.#note(device.deviceId, deviceGroup, state);
  }

  remove(device: DeviceInGroup, targets: readonly Target[]): void {
    this.#count(device, stateOfDevice(device, targets), -1);
  }

  /** Counts a change; answers whether it changed a state. */
  change(before: DeviceInGroup | undefined, after: DeviceInGroup | undefined, deviceGroup: string, targets: readonly Target[]): boolean {
    const was = before === undefined ? undefined : stateOfDevice(before, targets);
    const is = after === undefined ? undefined : stateOfDevice(after, targets);
    if (before !== undefined && was !== undefined) this.#count(before, was, -1);
    if (after !== undefined && is !== undefined) this.#count(after, is, 1);
    const deviceId = after?.deviceId ?? before?.deviceId;
    if (deviceId !== undefined && !isSame(was, is)) this.#note(deviceId, deviceGroup, is);
    return was?.state !== is?.state;
  }

  get devices(): number {
    const { applied, failed, offline, working, waiting } = this.counts;
    return applied + failed + offline + working + waiting;
  }

  /** By code, the most frequent first. */
  get failures(): MessageInitShape<typeof ApplyCodeCountSchema>[] {
    return [...this.#failures]
      .sort(([code, devices], [otherCode, others]) => others - devices || code - otherCode)
      .map(([failureCode, devices]) => ({ standing: DeviceStanding.FAILED, failureCode, devices: BigInt(devices) }));
  }

  /** Returns the changes since the last call. */
  takeChanged(): { changed: ChangedDevice[]; more: MessageInitShape<typeof ApplyCodeCountSchema>[] } {
    const changed = [...this.#named.values()].flatMap((ofGroup) => [...ofGroup.values()]);
    const more = [...this.#more].flatMap(([standing, byCode]) =>
      [...byCode].map(([failureCode, devices]) => ({ standing, failureCode, devices: BigInt(devices) })),
    );
    this.#named.clear();
    this.#names = 0;
    this.#more.clear();
    return { changed, more };
  }

  #count(device: DeviceInGroup, { state, code }: StateOfDevice, by: 1 | -1): void {
    this.counts[state] += by;
    if (isOnline(device)) {
      this.counts.online += by;
      if (state === "applied") this.counts.onlineApplied += by;
    }
    if (state !== "failed") return;
    const failures = (this.#failures.get(code) ?? 0) + by;
    if (failures === 0) this.#failures.delete(code);
    else this.#failures.set(code, failures);
  }

  /** T2 */
  #note(deviceId: string, deviceGroup: string, state: StateOfDevice | undefined): void {
    const standing = state === undefined ? DeviceStanding.UNSPECIFIED : STANDINGS[state.state];
    const failureCode = state?.code ?? FailureCode.UNSPECIFIED;
    const ofGroup = this.#named.get(deviceGroup) ?? new Map<string, ChangedDevice>();
    if (this.#names < MOST_NAMED || ofGroup.has(deviceId)) {
      const about = state?.about === undefined ? {} : { kind: state.about.kind, name: state.about.name };
      if (!ofGroup.has(deviceId)) this.#names++;
      this.#named.set(deviceGroup, ofGroup);
      ofGroup.set(deviceId, { deviceId, deviceGroup, standing, ...about, failureCode, ...(state === undefined ? {} : { stepKind: state.step }) });
      return;
    }
    const byCode = this.#more.get(standing) ?? new Map<FailureCode, number>();
    this.#more.set(standing, byCode);
    byCode.set(failureCode, (byCode.get(failureCode) ?? 0) + 1);
  }
}

function isSame(was: StateOfDevice | undefined, is: StateOfDevice | undefined): boolean {
  if (was === is) return true;
  return was?.state === is?.state && was?.code === is?.code && was?.about?.kind === is?.about?.kind && was?.about?.name === is?.about?.name;
}

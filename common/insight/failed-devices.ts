import { type ApplyDevice, DeviceStanding, type WatchApplyResponse } from "../../gen/nebula/v1/apply_pb.ts";

/** At most this number is kept, so that others take the place of those that recover. */
const KEPT = 200;

/** That devices may be named which failed no more. */
export const OLDER_FAILURES = "more devices changed at once than are named: some of these may have recovered";

/** The devices of a followed change that failed, as its messages name them. */
export class FailedDevices {
  readonly #devices = new Map<string, ApplyDevice>();
  #isFirst = true;
  #isOlder = false;

  /** The next message begins a stream. */
  restart(): void {
    this.#devices.clear();
    this.#isFirst = true;
    this.#isOlder = false;
  }

  take({ changed, moreChanged, counts }: Pick<WatchApplyResponse, "changed" | "moreChanged" | "counts">): void {
    for (const device of changed) {
      const key = JSON.stringify([device.deviceGroup, device.deviceId]);
      if (device.standing !== DeviceStanding.FAILED) this.#devices.delete(key);
      else if (this.#devices.has(key) || this.#devices.size < KEPT) this.#devices.set(key, device);
    }
    if (moreChanged.length > 0 && !this.#isFirst) this.#isOlder = true; // those of the first message failed, all of them
    this.#isFirst = false;
    if (counts?.failed !== 0n) return;
    this.#devices.clear();
    this.#isOlder = false;
  }

  get devices(): readonly ApplyDevice[] {
    return [...this.#devices.values()];
  }

  /** Whether devices that recovered may be among them: more of them changed than a message names. */
  get isOlder(): boolean {
    return this.#isOlder && this.#devices.size > 0;
  }
}

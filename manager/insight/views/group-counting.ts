import { setImmediate as turn } from "node:timers/promises";
import { type DeviceChange, type DeviceInGroup, withoutMove } from "./group-view.ts";

/** Devices that are counted in one turn of the event loop. */
const AT_ONCE = 500;

/** A count of all devices of a group but those that move there, part by part, while they change. */
export class GroupCounting<Numbers extends Readonly<{ change(change: DeviceChange): void }>> {
  readonly standing: Numbers;
  /** Devices that are in the numbers, or were removed, since it began. */
  readonly #done = new Set<string>();

  constructor(standing: Numbers) {
    this.standing = standing;
  }

  /** A device that was not reached yet counts as it is after its change, and is not reached any more. */
  change(change: DeviceChange): void {
    const deviceId = (change.after ?? change.before)?.deviceId ?? "";
    this.standing.change(withoutMove(this.#done.has(deviceId) ? change : { before: undefined, after: change.after }));
    this.#done.add(deviceId);
  }

  /** @param devices the map of a view, of which `change` is called with each change meanwhile */
  async run(devices: ReadonlyMap<string, DeviceInGroup>, signal: AbortSignal): Promise<void> {
    const ids = [...devices.keys()];
    for (const [index, deviceId] of ids.entries()) {
      if (index > 0 && index % AT_ONCE === 0) {
        await turn();
        signal.throwIfAborted();
      }
      if (this.#done.has(deviceId)) continue;
      this.#done.add(deviceId);
      this.standing.change(withoutMove({ before: undefined, after: devices.get(deviceId) }));
    }
  }
}

import { type DeviceChange, type DeviceInGroup, withoutMove } from "./group-view.ts";
import { lookInTurns } from "./in-turns.ts";

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
    const count = (deviceId: string) => {
      if (this.#done.has(deviceId)) return;
      this.#done.add(deviceId);
      this.standing.change(withoutMove({ before: undefined, after: devices.get(deviceId) }));
    };
    await lookInTurns([...devices.keys()], count, signal);
  }
}

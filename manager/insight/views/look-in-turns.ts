import { setImmediate as turn } from "node:timers/promises";

/** Devices that are looked at in one turn of the event loop. */
export const AT_ONCE = 500;

/** Calls `look` with each device, AT_ONCE of them in a turn of the event loop. Rejects with the reason of the signal where that is aborted between two turns. */
export async function lookInTurns<T>(devices: Iterable<T>, look: (device: T) => void, signal: AbortSignal): Promise<void> {
  let looked = 0;
  for (const device of devices) {
    if (++looked % AT_ONCE === 0) {
      await turn();
      signal.throwIfAborted();
    }
    look(device);
  }
}

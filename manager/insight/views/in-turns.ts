/** Work on very many devices, a part of it in each turn of the event loop: a store in this process answers without one. */
import { setImmediate as turn } from "node:timers/promises";
import type { Page, PageRequest } from "../../../common/storage/page.ts";

/** Devices that are looked at in one turn of the event loop. */
export const AT_ONCE = 500;

/** Calls `look` with each device, `atOnce` of them in a turn of the event loop. Rejects with the reason of the signal where that is aborted between two turns. */
export async function lookInTurns<T>(devices: Iterable<T>, look: (device: T) => void, signal: AbortSignal, atOnce = AT_ONCE): Promise<void> {
  let looked = 0;
  for (const device of devices) {
    if (++looked % atOnce === 0) {
      await turn();
      signal.throwIfAborted();
    }
    look(device);
  }
}

/** Yields AT_ONCE of the devices in a turn of the event loop. */
export async function* slicesInTurns<T>(devices: readonly T[]): AsyncGenerator<readonly T[]> {
  for (let start = 0; start < devices.length; start += AT_ONCE) {
    if (start > 0) await turn();
    yield devices.slice(start, start + AT_ONCE);
  }
}

/** Yields the items of each page of a list, each in a turn of the event loop. */
export async function* pagesInTurns<T>(read: (after: Pick<PageRequest, "after">) => Promise<Page<T>>): AsyncGenerator<readonly T[]> {
  for (let after: Pick<PageRequest, "after"> = {}; ; ) {
    const { items, next } = await read(after);
    yield items;
    if (next === undefined) return;
    after = { after: next };
    await turn();
  }
}

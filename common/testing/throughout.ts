import { setTimeout as delay } from "node:timers/promises";

/** Looks again and again for `ms` that something stays as it is; rejects with what the check throws. For what must not happen, which can't be waited for. */
export async function throughout(ms: number, check: () => void | Promise<void>, { everyMs = 200 } = {}): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await delay(everyMs)) await check();
}

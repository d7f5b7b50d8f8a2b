import { setTimeout as delay } from "node:timers/promises";

/**
 * Waits for work, which a server that does not answer may hold up, but not longer than the limit. Returns whether it
 * ended in time. Rejects as the work does; a failure after the limit is left alone.
 * @param limitMs milliseconds
 */
export async function endedWithin(work: Promise<unknown>, limitMs: number): Promise<boolean> {
  const over = new AbortController();
  const late = delay(limitMs, false, { signal: over.signal }).catch(() => true);
  return await Promise.race([work.then(() => true), late]).finally(() => over.abort());
}

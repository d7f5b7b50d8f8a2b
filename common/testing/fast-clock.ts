import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../clock/clock.ts";

/** Sleepers look at the clock that often, milliseconds of the machine. */
const TICK_MS = 10;
/** The longest standstill of the process that counts in full, milliseconds of the machine. */
const MOST_TICK_MS = 5 * TICK_MS;

/**
 * A clock that runs by itself while somebody sleeps by it, `factor` times as fast as the machine's: for tests of real
 * servers in which leases have to end. While the test's own process stands still, no time passes: on a busy machine that
 * would end leases of shards that live.
 */
export function fastClock(factor: number): Clock {
  const startedAt = Date.now();
  let passed = 0;
  let lookedAt = performance.now();
  const monotonic = () => {
    const now = performance.now();
    passed += Math.min(now - lookedAt, MOST_TICK_MS) * factor;
    lookedAt = now;
    return passed;
  };
  return {
    now: () => startedAt + Math.trunc(monotonic()),
    monotonic,
    async sleep(ms, signal) {
      signal.throwIfAborted();
      const end = monotonic() + ms;
      try {
        for (let left = ms; left > 0; left = end - monotonic()) await delay(Math.min(left / factor, TICK_MS), undefined, { signal });
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      }
    },
  };
}

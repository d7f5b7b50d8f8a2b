import type { Clock } from "../../common/clock/clock.ts";
import { systemClock } from "../../common/clock/system-clock.ts";

/** A clock whose monotonic time a test can have run ahead, so that its many failed logins are forgotten where they are not what it is about. */
export type ForgettingClock = Clock & { forget(): void };

export function forgettingClock(): ForgettingClock {
  let aheadMs = 0;
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() + aheadMs,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    forget() {
      aheadMs += 3_600_000;
    },
  };
}

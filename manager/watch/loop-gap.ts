import type { Clock } from "../../common/clock/clock.ts";
import { LEASE_MS } from "../../common/membership/membership.ts";

const BEAT_MS = 1000;

/**
 * Notices that this process stood still (was paused, swapped out, or moved) for longer than a lease: others may have taken its groups meanwhile,
 * and what it knows may be old. Time is the monotonic clock's.
 */
export class LoopGap {
  readonly #clock: Clock;
  #beatAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#beatAt = clock.monotonic();
  }

  /** Has `look` ask once a second, also while nothing else does. */
  async run(look: () => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(BEAT_MS, signal).catch(() => {});
      look();
    }
  }

  /** Whether the process stood still since the last call, or beat; asked before every answer, so that none is given from before the gap. */
  crossed(): boolean {
    const now = this.#clock.monotonic();
    const crossed = now - this.#beatAt > LEASE_MS;
    this.#beatAt = now;
    return crossed;
  }
}

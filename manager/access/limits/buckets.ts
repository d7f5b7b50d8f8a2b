import { BoundedMap } from "../../../common/bounded-map.ts";
import type { Clock } from "../../../common/clock/clock.ts";

export type BucketLimits = Readonly<{
  /** The cost that passes at once through a full bucket. */
  inARow: number;
  /** How long one more takes to be allowed, milliseconds. */
  oneMoreMs: number;
  /** Buckets that are kept; the one used longest ago is evicted, and is full when it is used again. */
  most: number;
}>;

/**
 * A token bucket per key: https://en.wikipedia.org/wiki/Token_bucket. Takes `cost` out of the bucket of `key` and
 * answers 0, or takes nothing and answers after how many milliseconds it would pass. A cost above `inARow` passes a
 * full bucket and leaves it in debt.
 */
export type Buckets = (key: string, cost?: number) => number;

export function createBuckets({ inARow, oneMoreMs, most }: BucketLimits, clock: Pick<Clock, "monotonic">): Buckets {
  /** By key: when the bucket will be full again, on the monotonic clock. */
  const fullAt = new BoundedMap<string, number>(most);
  return (key, cost = 1) => {
    const now = clock.monotonic();
    const full = Math.max(now, fullAt.get(key) ?? now);
    const waitMs = full - now - (inARow - Math.min(cost, inARow)) * oneMoreMs;
    if (waitMs > 0) return waitMs;
    fullAt.set(key, full + cost * oneMoreMs);
    return 0;
  };
}

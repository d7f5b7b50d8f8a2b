import { BoundedMap } from "../../../common/bounded-map.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { shown } from "../../../common/text/wording.ts";
import { createBuckets } from "./buckets.ts";

/** How long the announcement of a rotation may take to come back, milliseconds. */
const ON_ITS_WAY_MS = 5000;
/** Tokens, or devices, that are kept; the ones used longest ago are evicted. */
const MOST_KEPT = 10_000;

/**
 * Tokens whose first use this process has just seen. The end of the token before is announced under the name of the
 * device, which comes back here and would have the new token read again: that one announcement does not concern it.
 */
export class RotatedTokens {
  readonly #clock: Pick<Clock, "monotonic">;
  /** When each stops to be kept, oldest first. */
  readonly #until = new BoundedMap<string, number>(MOST_KEPT);

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** The token with this hash was used first; the announcement follows. */
  add(hash: string): void {
    this.#until.set(hash, this.#clock.monotonic() + ON_ITS_WAY_MS);
  }

  /** Whether an announcement of its device is the one of its own first use; it is asked once for each announcement. */
  isOwn(hash: string): boolean {
    const until = this.#until.get(hash);
    return until !== undefined && this.#until.delete(hash) && this.#clock.monotonic() < until;
  }
}

/** Exchanges in a row, and how long one more takes to be allowed, milliseconds. A worker exchanges its token every 30 days. */
export const ROTATIONS = { inARow: 60, oneMoreMs: 10_000 } as const;

/** Throws `resource_exhausted`, with a retry time, where a device asks for a next token too often. */
export type RotationLimit = (deviceId: string) => void;

/**
 * Every exchange is an entry of the audit log, and an event that every manager reads the access stamp for: one device, or the holder of its token, must not
 * cause that without end.
 */
export function createRotationLimit(clock: Pick<Clock, "monotonic">): RotationLimit {
  const take = createBuckets({ ...ROTATIONS, most: MOST_KEPT }, clock);
  return (deviceId) => {
    const retryAfterMs = take(deviceId);
    if (retryAfterMs === 0) return;
    const seconds = Math.ceil(retryAfterMs / 1000);
    throw new NebulaError("resource_exhausted", `the device ${shown(deviceId)} exchanges its token too often: try again in ${seconds} s`, {
      retryAfterMs,
    });
  };
}

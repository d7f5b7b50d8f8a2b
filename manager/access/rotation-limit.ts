import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { shown } from "../../common/validation/quote.ts";
import { createBuckets } from "./buckets.ts";

/** Exchanges in a row, and how long one more takes to be allowed, milliseconds. A worker exchanges its token every 30 days. */
export const ROTATIONS = { inARow: 60, oneMoreMs: 10_000 } as const;
/** Devices that are kept count of. */
const MOST_KEPT = 10_000;

/** Throws `resource_exhausted`, with a retry time, where a device asks for a next token too often. */
export type RotationLimit = (deviceId: string) => void;

/**
 * Every exchange is an entry of the audit log, and has every manager look at the credentials of all open watches again: one device, or the holder of its token,
 * must not cause that without end.
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

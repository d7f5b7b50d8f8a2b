import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";

/** Exchanges in a row, and how long one more takes to be allowed, milliseconds. A worker exchanges its token every 30 days. */
export const ROTATIONS = { inARow: 60, oneMoreMs: 10_000 } as const;
/** Devices that are kept count of; the one that asked longest ago goes first. */
const MOST_KEPT = 10_000;

/** Throws `resource_exhausted`, with a retry time, where a device asks for a next token too often. */
export type RotationLimit = (deviceId: string) => void;

/**
 * Every exchange is an entry of the audit log, and has every manager look at the credentials of all open watches again: one device, or who has its token, is not
 * to have them do that without end.
 */
export function createRotationLimit(clock: Pick<Clock, "monotonic">): RotationLimit {
  /** By device: when all that are allowed in a row will be allowed again, on the monotonic clock. */
  const restoredAt = new Map<string, number>();
  return (deviceId) => {
    const now = clock.monotonic();
    const restored = Math.max(now, restoredAt.get(deviceId) ?? now) + ROTATIONS.oneMoreMs;
    const retryAfterMs = restored - now - ROTATIONS.inARow * ROTATIONS.oneMoreMs;
    if (retryAfterMs > 0) {
      const seconds = Math.ceil(retryAfterMs / 1000);
      throw new NebulaError("resource_exhausted", `the device ${deviceId} exchanges its token too often: try again in ${seconds} s`, {
        retryAfterMs,
      });
    }
    restoredAt.delete(deviceId); // a Map keeps the order of insertion
    restoredAt.set(deviceId, restored);
    if (restoredAt.size <= MOST_KEPT) return;
    for (const oldest of restoredAt.keys()) return void restoredAt.delete(oldest);
  };
}

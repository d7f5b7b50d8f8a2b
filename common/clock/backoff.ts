/** The wait after the first failure, and the longest one, milliseconds. In between it doubles with each failure. */
export type Backoff = Readonly<{ firstMs: number; longestMs: number }>;

/** Beyond this many failures the wait no longer grows: the result stays finite. */
const MOST_DOUBLINGS = 30;

/**
 * Returns how long to wait before the next try, milliseconds, without jitter.
 * @param failures failures in a row, from 1
 */
export function backoffMs({ firstMs, longestMs }: Backoff, failures: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(Math.max(0, failures - 1), MOST_DOUBLINGS));
}

/** Half of the wait to all of it, so that those who failed together do not retry together. */
export function withJitter(waitMs: number, random: () => number = Math.random): number {
  return waitMs * (0.5 + random() / 2);
}

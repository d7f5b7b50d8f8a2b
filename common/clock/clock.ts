/** Time, as everything that waits or stamps receives it. */
export interface Clock {
  /** Wall clock, milliseconds since 1970; may jump. */
  now(): number;
  /** Monotonic clock, milliseconds since some start; never falls. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds of the monotonic clock; rejects with the signal's reason when that is aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Lets a burst pass at once, and then one per interval. Times are milliseconds of the monotonic clock. */
export class Pace {
  readonly #burst: number;
  readonly #everyMs: number;
  #left: number;
  #at = 0;

  constructor({ burst, everyMs }: { burst: number; everyMs: number }) {
    this.#burst = burst;
    this.#everyMs = everyMs;
    this.#left = burst;
  }

  /** Takes one; answers how long it has to wait. */
  take(now: number): number {
    this.#left = Math.min(this.#burst, this.#left + (now - this.#at) / this.#everyMs) - 1;
    this.#at = now;
    return this.#left >= 0 ? 0 : -this.#left * this.#everyMs;
  }
}

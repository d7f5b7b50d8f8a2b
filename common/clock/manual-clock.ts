import type { Clock } from "./clock.ts";

type Sleeper = { at: number; wake: () => void };

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #wall: number;
  #monotonic = 0;
  readonly #sleepers = new Set<Sleeper>();

  /** @param start wall clock at first, milliseconds since 1970 */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#wall = start;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Sleepers now. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** Monotonic milliseconds until the next sleeper wakes; undefined without one. */
  get nextWakeMs(): number | undefined {
    const first = Math.min(...[...this.#sleepers].map((sleeper) => sleeper.at));
    return Number.isFinite(first) ? Math.max(0, first - this.#monotonic) : undefined;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const finish = (end: () => void) => {
        this.#sleepers.delete(sleeper);
        signal.removeEventListener("abort", onAbort);
        end();
      };
      const onAbort = () => finish(() => reject(signal.reason));
      const sleeper: Sleeper = { at: this.#monotonic + Math.max(0, ms), wake: () => finish(resolve) };
      signal.addEventListener("abort", onAbort);
      this.#sleepers.add(sleeper);
      if (ms <= 0) sleeper.wake();
    });
  }

  /** Lets `ms` milliseconds pass on both clocks, waking sleepers in the order of their times, and lets what they started run. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await settle();
    for (;;) {
      const next = [...this.#sleepers].filter((sleeper) => sleeper.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#wall += Math.max(0, next.at - this.#monotonic);
      this.#monotonic = Math.max(this.#monotonic, next.at);
      next.wake();
      await settle();
    }
    this.#wall += end - this.#monotonic;
    this.#monotonic = end;
    await settle();
  }

  /** Sets the wall clock, as an administrator or NTP would; the monotonic clock goes on. */
  setWall(now: number): void {
    this.#wall = now;
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

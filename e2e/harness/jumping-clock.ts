import type { Clock } from "../../common/clock/clock.ts";

/** A clock that goes with the machine's, and jumps ahead when a test says so: each sleep that ends before the new time ends at once. */
export class JumpingClock implements Clock {
  #aheadMs = 0;
  readonly #sleepers = new Set<() => void>();

  now(): number {
    return Date.now() + this.#aheadMs;
  }

  monotonic(): number {
    return performance.now() + this.#aheadMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const end = this.monotonic() + ms;
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#sleepers.delete(look);
        signal.removeEventListener("abort", onAbort);
        settle();
      };
      const onAbort = () => finish(() => reject(signal.reason));
      const look = () => {
        clearTimeout(timer);
        const left = end - this.monotonic();
        if (left <= 0) finish(resolve);
        else timer = setTimeout(look, Math.min(left, 2 ** 31 - 1));
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", onAbort);
      this.#sleepers.add(look);
      look();
    });
  }

  /** Lets `ms` milliseconds pass at once. */
  jump(ms: number): void {
    this.#aheadMs += ms;
    for (const look of [...this.#sleepers]) look();
  }
}

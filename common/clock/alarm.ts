import type { Clock } from "./clock.ts";

/** Lets one waiter be woken before its time. A ring while nobody waits counts for the next wait. */
export class Alarm {
  readonly #clock: Clock;
  #hasRung = false;
  #wake: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#hasRung = true;
    this.#wake?.abort();
  }

  /** Whether it has rung since the last `wait` or `reset`. */
  get hasRung(): boolean {
    return this.#hasRung;
  }

  reset(): void {
    this.#hasRung = false;
  }

  /** Resolves with false after `ms` milliseconds, with true when it rings; rejects with the signal's reason when that is aborted first. */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    if (this.#hasRung) return this.#take();
    const wake = new AbortController();
    const onAbort = () => wake.abort();
    signal.addEventListener("abort", onAbort);
    this.#wake = wake;
    try {
      await this.#clock.sleep(ms, wake.signal);
    } catch {
      signal.throwIfAborted(); // otherwise it rang
    } finally {
      this.#wake = undefined;
      signal.removeEventListener("abort", onAbort);
    }
    return this.#take();
  }

  #take(): boolean {
    const rang = this.#hasRung;
    this.#hasRung = false;
    return rang;
  }
}

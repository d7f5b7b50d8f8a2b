import type { Clock } from "./clock/clock.ts";

export type PlacesOptions = Readonly<{
  clock: Clock;
  /** Work side by side. */
  count: number;
  /** After this time, milliseconds, work gives its place to the next one, and goes on without one. */
  patienceMs: number;
}>;

/**
 * Limits the work that runs side by side, so that an engine is not flooded; work that hangs holds up nobody.
 * 1. At most `count` pieces of work hold a place; the others wait in their order.
 * 2. A place is free again when its work ends, or after `patienceMs`, whichever comes first.
 */
export class Places {
  readonly #options: PlacesOptions;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** Runs work once there is a place for it. @param onSlow called when it gives its place up before its end */
  async run<T>(work: () => Promise<T>, onSlow: () => void = () => {}): Promise<T> {
    await this.#take();
    const ended = new AbortController();
    let hasPlace = true;
    const release = () => {
      if (hasPlace) this.#release();
      hasPlace = false;
    };
    this.#options.clock.sleep(this.#options.patienceMs, ended.signal).then(
      () => {
        release(); // 2
        onSlow();
      },
      () => {}, // it ended in time
    );
    try {
      return await work();
    } finally {
      ended.abort();
      release();
    }
  }

  async #take(): Promise<void> {
    if (this.#taken < this.#options.count) {
      this.#taken++;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve)); // 1
  }

  /** Hands the place to the one that waits longest. */
  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken--;
    else next();
  }
}

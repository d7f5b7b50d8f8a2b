import { NebulaError } from "../errors/nebula-error.ts";

export type WorkBounds = Readonly<{
  /** What is done, for the message: "password checks". */
  what: string;
  /** At most this many are under way. */
  atOnce: number;
  /** At most this many wait; more are refused. */
  waiting: number;
}>;

/**
 * Work that costs much, a few pieces at a time, the rest in the order in which it came.
 * B1: at most `atOnce` pieces are under way. B2: at most `waiting` wait. B3: who goes away while waiting makes room for another.
 */
export class BoundedWork {
  readonly #bounds: WorkBounds;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(bounds: WorkBounds) {
    this.#bounds = bounds;
  }

  /** Does the work in its turn. Rejects with the signal's reason when that comes first, and with `resource_exhausted` when too many wait. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    await this.#turn(signal);
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#running < this.#bounds.atOnce) {
      this.#running += 1; // B1
      return Promise.resolve();
    }
    if (this.#waiting.size >= this.#bounds.waiting) {
      const refusal = new NebulaError("resource_exhausted", `${this.#waiting.size} ${this.#bounds.what} wait already: try again in a few seconds`);
      return Promise.reject(refusal); // B2
    }
    return new Promise((resolve, reject) => {
      const begin = () => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.delete(begin); // B3
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.add(begin);
    });
  }

  /** Hands the place on to the next one, or gives it up. */
  #next(): void {
    const [begin] = this.#waiting;
    if (begin === undefined) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(begin);
    begin();
  }
}

import { NebulaError } from "../../../errors/nebula-error.ts";

type Waiting = { start(): void };

/**
 * Bounds what a process asks of a backend at once.
 * 1. At most `most` pieces of work run; a place is free again when its work has settled, even if its caller has gone.
 * 2. At most `queue` more wait, first come first served; one whose signal is aborted leaves at once. Beyond that, work is refused with `unavailable`.
 */
export class InFlight {
  readonly #most: number;
  readonly #queue: number;
  readonly #waiting = new Set<Waiting>();
  #running = 0;

  constructor({ most, queue }: Readonly<{ most: number; queue: number }>) {
    this.#most = most;
    this.#queue = queue;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Rejects with `unavailable` where the queue is full, and with the signal's reason when it is aborted while the work waits. The signal is asked for only then. */
  async run<T>(work: () => Promise<T>, signal: () => AbortSignal): Promise<T> {
    if (this.#running < this.#most) this.#running++;
    else await this.#turn(signal()); // 1: the place of one that has settled
    try {
      return await work();
    } finally {
      const [next] = this.#waiting; // 2: a Set keeps the order of insertion
      if (next === undefined) this.#running--;
      else {
        this.#waiting.delete(next);
        next.start();
      }
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.size >= this.#queue) {
      throw new NebulaError("unavailable", `the store is behind: ${this.#queue} requests wait already; try again later`, { retryAfterMs: 1000 });
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiting);
        reject(signal.reason);
      };
      const waiting: Waiting = {
        start() {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      this.#waiting.add(waiting);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}

/**
 * Settles as the work does; rejects with the signal's reason when that is aborted, and with `unavailable` after `limitMs`. The work may ask for a signal that
 * is aborted then (it is made only for who asks), and may go on for what it can't take back; its result is dropped.
 */
export function withinLimit<T>(limitMs: number, signal: AbortSignal | undefined, work: (signal: () => AbortSignal) => Promise<T>): Promise<T> {
  if (signal?.aborted === true) return Promise.reject(signal.reason);
  let over: AbortController | undefined;
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => end(new NebulaError("unavailable", `the store did not answer within ${limitMs / 1000} s`)), limitMs);
    const end = (reason: unknown) => {
      clear();
      reject(reason);
      over?.abort(reason);
    };
    const onAbort = () => end(signal?.reason);
    const clear = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const signalOf = () => {
      over ??= new AbortController();
      return over.signal;
    };
    work(signalOf).then(
      (value) => {
        clear();
        resolve(value);
      },
      (error) => {
        clear();
        reject(error);
      },
    );
  });
}

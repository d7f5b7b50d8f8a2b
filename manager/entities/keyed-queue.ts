import { NebulaError } from "../../common/errors/nebula-error.ts";

/**
 * Runs work one after the other for each key, in the order of its arrival; keys do not wait for each other.
 * Q1: at most one piece of work of a key runs. Q2: at most `limit` pieces of a key wait; more are refused. Q3: a key without work takes no memory.
 */
export class KeyedQueue {
  readonly #limit: number;
  /** Waiting work, by key; present while work of that key is running. */
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Keys whose work is running. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Runs the work in its turn. Rejects with the signal's reason when that comes first, and with `resource_exhausted` when too many wait. */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    await this.#turn(key, signal);
    try {
      return await work();
    } finally {
      this.#next(key);
    }
  }

  #turn(key: string, signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      this.#waiting.set(key, new Set());
      return Promise.resolve();
    }
    if (waiting.size >= this.#limit) {
      throw new NebulaError("resource_exhausted", `${waiting.size} changes of ${key} wait already: try again later, or change more fields at once`); // Q2
    }
    return new Promise((resolve, reject) => {
      const begin = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        waiting.delete(begin);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      waiting.add(begin);
    });
  }

  /** Q1: the next one begins only now. */
  #next(key: string): void {
    const waiting = this.#waiting.get(key);
    const [begin] = waiting ?? [];
    if (waiting === undefined || begin === undefined) {
      this.#waiting.delete(key); // Q3
      return;
    }
    waiting.delete(begin);
    begin();
  }
}

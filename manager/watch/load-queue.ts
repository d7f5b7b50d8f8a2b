/**
 * A queue of reads, one entry per key.
 *
 * W3 One read per key at a time; a request that comes during it is read after it.
 * L1 At most `width` reads run at once, and the event loop has its turn between two: a change that concerns very many groups delays no connection.
 */
import { setImmediate as turn } from "node:timers/promises";

export type LoadQueueOptions<Key, Request> = Readonly<{
  /** Reads one. Must not reject. */
  load: (key: Key, request: Request) => Promise<void>;
  /** Merges two waiting requests into one. */
  merge: (one: Request, other: Request) => Request;
  /** Reads that run at once. */
  width: number;
}>;

export class LoadQueue<Key, Request> {
  readonly #options: LoadQueueOptions<Key, Request>;
  readonly #waiting = new Map<Key, Request>();
  /** Running reads, each with the request that came during it. */
  readonly #running = new Map<Key, { again: Request | undefined }>();
  #lanes = 0;

  constructor(options: LoadQueueOptions<Key, Request>) {
    this.#options = options;
  }

  /** Keys that are being read or wait for it. */
  get length(): number {
    return this.#waiting.size + this.#running.size;
  }

  /** Enqueues a read; one of a key that is being read runs after that (W3). */
  enqueue(key: Key, request: Request): void {
    const running = this.#running.get(key);
    if (running !== undefined) {
      running.again = this.#merged(running.again, request); // W3
      return;
    }
    this.#waiting.set(key, this.#merged(this.#waiting.get(key), request));
    if (this.#lanes < this.#options.width) void this.#lane(); // L1
  }

  #merged(known: Request | undefined, request: Request): Request {
    return known === undefined ? request : this.#options.merge(known, request);
  }

  async #lane(): Promise<void> {
    this.#lanes++;
    for (;;) {
      const next = this.#waiting.entries().next().value;
      if (next === undefined) break;
      const [key, request] = next;
      this.#waiting.delete(key);
      const state: { again: Request | undefined } = { again: undefined };
      this.#running.set(key, state);
      await this.#options.load(key, request);
      this.#running.delete(key);
      if (state.again !== undefined) this.enqueue(key, state.again); // W3
      await turn(); // L1
    }
    this.#lanes--;
  }
}

/**
 * What is to be read, and when.
 *
 * W3 One read per key at a time; what is wanted during it is done after it.
 * L1 At most `width` reads run at once, and the event loop has its turn between two: a change that concerns very many groups delays no connection.
 */
import { setImmediate as turn } from "node:timers/promises";

export type LoadQueueOptions<Key, Want> = Readonly<{
  /** Reads one; it handles its own failures. */
  load: (key: Key, want: Want) => Promise<void>;
  /** One want in place of two that wait. */
  merge: (one: Want, other: Want) => Want;
  /** Reads at once. */
  width: number;
}>;

export class LoadQueue<Key, Want> {
  readonly #options: LoadQueueOptions<Key, Want>;
  readonly #waiting = new Map<Key, Want>();
  /** What runs, and what was wanted during that. */
  readonly #running = new Map<Key, { again: Want | undefined }>();
  #lanes = 0;

  constructor(options: LoadQueueOptions<Key, Want>) {
    this.#options = options;
  }

  /** Has one read: now, or after the read that is in progress (W3). */
  want(key: Key, want: Want): void {
    const running = this.#running.get(key);
    if (running !== undefined) {
      running.again = this.#merged(running.again, want); // W3
      return;
    }
    this.#waiting.set(key, this.#merged(this.#waiting.get(key), want));
    if (this.#lanes < this.#options.width) void this.#lane(); // L1
  }

  #merged(known: Want | undefined, want: Want): Want {
    return known === undefined ? want : this.#options.merge(known, want);
  }

  async #lane(): Promise<void> {
    this.#lanes++;
    for (;;) {
      const next = this.#waiting.entries().next().value;
      if (next === undefined) break;
      const [key, want] = next;
      this.#waiting.delete(key);
      const state: { again: Want | undefined } = { again: undefined };
      this.#running.set(key, state);
      await this.#options.load(key, want);
      this.#running.delete(key);
      if (state.again !== undefined) this.want(key, state.again); // W3
      await turn(); // L1
    }
    this.#lanes--;
  }
}

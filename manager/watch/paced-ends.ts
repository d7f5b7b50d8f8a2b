/**
 * Ends streams that this shard lost to another, so that their devices do not all dial at once.
 *
 * P1 At most RATE a second. P2 In random order: the devices of one group do not come as a block.
 */
import type { Clock } from "../../common/clock/clock.ts";

/** Ends per second. */
const RATE = 500;
const SLICE_MS = 100;

export class PacedEnds<Stream> {
  readonly #clock: Clock;
  readonly #end: (stream: Stream) => void;
  readonly #signal: AbortSignal;
  /** Bounded by the streams there are: each is in it once. */
  readonly #lost = new Set<Stream>();
  #running = false;

  /** @param end ends one stream, if it is still lost */
  constructor(clock: Clock, end: (stream: Stream) => void, signal: AbortSignal) {
    this.#clock = clock;
    this.#end = end;
    this.#signal = signal;
  }

  add(streams: Iterable<Stream>): void {
    for (const stream of streams) this.#lost.add(stream);
    if (!this.#running && this.#lost.size > 0) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#lost.size > 0 && !this.#signal.aborted) {
      await this.#clock.sleep(SLICE_MS * (1 + Math.random() / 2), this.#signal).catch(() => {});
      for (const stream of sample([...this.#lost], (RATE * SLICE_MS) / 1000)) {
        this.#lost.delete(stream);
        this.#end(stream);
      }
    }
    this.#running = false;
  }
}

/** Some of the items, each as likely as any other. */
function sample<T>(items: T[], count: number): T[] {
  const taken = Math.min(items.length, count);
  for (let index = 0; index < taken; index++) {
    const other = index + Math.floor(Math.random() * (items.length - index));
    const [a, b] = [items[index], items[other]];
    if (a !== undefined && b !== undefined) [items[index], items[other]] = [b, a];
  }
  return items.slice(0, taken);
}

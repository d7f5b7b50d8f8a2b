/**
 * Offers the newest answer of a group to its streams.
 *
 * B1 A batch is at most `batch` streams, of any number of groups; then the event loop has its turn, so that new devices are admitted during a push.
 * B2 Groups alternate: a large one does not delay a small one.
 * B3 An answer that changes during a pass is offered to the rest of the streams at once, and to those before them in another pass. So under endless changes
 *    the last stream is reached as often as the first.
 * B4 Checks that hold for all streams of a batch are made once, before its first.
 *
 * When a batch has its turn, and what reports have between two of them, is decided in common/clock/turn-taking.ts.
 */
import type { TurnTaking } from "../../common/clock/turn-taking.ts";

/** Streams of one group in a row while other groups wait. */
const SHARE = 16;

type Pass<Stream> = { cursor: Iterator<Stream>; again: boolean };

export type FanOutOptions<Stream, Group> = Readonly<{
  /** Streams per turn of the event loop. */
  batch: number;
  /** Called before each batch (B4). Returns the time that its streams are offered at, monotonic milliseconds. */
  begin: () => number;
  /** Offers the newest answer of its group to one stream. */
  offer: (stream: Stream, now: number) => void;
  /** Called when the newest answer of a group was offered to each of its streams. */
  done: (group: Group) => void;
  turns: Pick<TurnTaking, "fanOut">;
}>;

export class FanOut<Stream, Group extends { readonly streams: Iterable<Stream> }> {
  readonly #options: FanOutOptions<Stream, Group>;
  readonly #passes = new Map<Group, Pass<Stream>>();
  #inProgress = false;

  constructor(options: FanOutOptions<Stream, Group>) {
    this.#options = options;
  }

  /** Starts a pass over the streams of a group that has a new answer. */
  start(group: Group): void {
    const pass = this.#passes.get(group);
    if (pass !== undefined)
      pass.again = true; // B3
    else this.#passes.set(group, { cursor: group.streams[Symbol.iterator](), again: false });
    this.#schedule();
  }

  /** Ends the pass of a group that is not watched any more. */
  forget(group: Group): void {
    this.#passes.delete(group);
  }

  #schedule(): void {
    if (this.#inProgress || this.#passes.size === 0) return;
    this.#inProgress = true;
    this.#options.turns.fanOut(() => {
      this.#inProgress = false; // also where a stream throws
      this.#offerBatch();
      this.#inProgress = this.#passes.size > 0;
      return this.#inProgress;
    });
  }

  #offerBatch(): void {
    const now = this.#options.begin(); // B4
    let left = this.#options.batch; // B1
    while (left > 0) {
      const first = this.#passes.entries().next().value;
      if (first === undefined) return;
      const share = this.#passes.size === 1 ? left : Math.min(left, SHARE); // B2
      left -= this.#step(...first, share, now);
    }
  }

  /** Offers to at most `count` streams, and returns to how many. */
  #step(group: Group, pass: Pass<Stream>, count: number, now: number): number {
    const { offer, done } = this.#options;
    for (let offered = 0; offered < count; offered++) {
      const next = pass.cursor.next();
      if (next.done) {
        this.#passes.delete(group);
        if (pass.again)
          this.#passes.set(group, { cursor: group.streams[Symbol.iterator](), again: false }); // B3
        else done(group);
        return Math.max(1, offered);
      }
      offer(next.value, now);
    }
    this.#passes.delete(group); // B2: to the end of the queue
    this.#passes.set(group, pass);
    return count;
  }
}

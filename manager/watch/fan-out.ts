/**
 * Brings a group's newest answer to its streams.
 *
 * F1 A batch is at most `batch` streams, of however many groups; then the event loop has its turn, so that new devices get in during a push.
 * F2 Groups take turns: a large one does not hold up a small one.
 * F3 An answer that changes during a pass goes to the streams that come after at once; those before get it in another pass. So under endless
 *    changes the last stream is reached as often as the first.
 */
/** Streams of one group in a row while other groups wait. */
const SHARE = 16;

type Pass<Stream> = { cursor: Iterator<Stream>; again: boolean };

export class FanOut<Stream extends { advance(): void }, Group extends { readonly streams: Iterable<Stream> }> {
  readonly #batch: number;
  readonly #done: (group: Group) => void;
  readonly #passes = new Map<Group, Pass<Stream>>();
  #scheduled = false;

  /** @param batch streams per turn of the event loop @param done called when every stream of a group was offered what was newest */
  constructor(batch: number, done: (group: Group) => void) {
    this.#batch = batch;
    this.#done = done;
  }

  /** The group has a new answer. */
  start(group: Group): void {
    const pass = this.#passes.get(group);
    if (pass !== undefined)
      pass.again = true; // F3
    else this.#passes.set(group, { cursor: group.streams[Symbol.iterator](), again: false });
    this.#schedule();
  }

  /** The group is no more. */
  forget(group: Group): void {
    this.#passes.delete(group);
  }

  #schedule(): void {
    if (this.#scheduled || this.#passes.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn();
      this.#schedule();
    });
  }

  #turn(): void {
    let left = this.#batch; // F1
    while (left > 0) {
      const first = this.#passes.entries().next().value;
      if (first === undefined) return;
      const share = this.#passes.size === 1 ? left : Math.min(left, SHARE); // F2
      left -= this.#step(...first, share);
    }
  }

  /** Offers to at most `count` streams; answers to how many. */
  #step(group: Group, pass: Pass<Stream>, count: number): number {
    for (let offered = 0; offered < count; offered++) {
      const next = pass.cursor.next();
      if (next.done) {
        this.#passes.delete(group);
        if (pass.again)
          this.#passes.set(group, { cursor: group.streams[Symbol.iterator](), again: false }); // F3
        else this.#done(group);
        return Math.max(1, offered);
      }
      next.value.advance();
    }
    this.#passes.delete(group); // F2: to the end of the line
    this.#passes.set(group, pass);
    return count;
  }
}

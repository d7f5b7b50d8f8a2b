/**
 * One piece of work that several callers wait for.
 *
 * S1 The signal of the work is aborted once every caller has gone: its outcome is nobody's then, and says nothing.
 * S2 A caller that goes gets the reason of its own signal, and holds up none of the others.
 */

/** The signal of a caller, made only where something waits: most calls never do. */
export type CallerSignal = () => AbortSignal;

export class SharedWork<T> {
  /** Resolves when the work has ended, with an outcome or without. */
  readonly ended: Promise<void>;
  readonly #abort = new AbortController();
  readonly #outcome: Promise<T>;
  #callers = 0;
  #isSettled = false;

  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#outcome = work(this.#abort.signal);
    const settled = () => {
      this.#isSettled = true;
    };
    this.ended = this.#outcome.then(settled, settled);
  }

  /** S1: whether every caller has gone before the outcome was there. A new caller needs other work. */
  get abandoned(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Waits for the outcome. @param signal of the caller; one without stays until the end */
  join(signal?: AbortSignal): Promise<T> {
    this.#callers++;
    if (signal === undefined || this.#isSettled) return this.#outcome;
    return new Promise<T>((resolve, reject) => {
      const go = () => {
        this.#callers--;
        if (this.#callers === 0 && !this.#isSettled) this.#abort.abort(signal.reason); // S1
        reject(signal.reason); // S2
      };
      if (signal.aborted) return go();
      signal.addEventListener("abort", go, { once: true });
      const stay = () => signal.removeEventListener("abort", go);
      this.#outcome.then(
        (value) => {
          stay();
          resolve(value);
        },
        (error) => {
          stay();
          reject(error);
        },
      );
    });
  }
}

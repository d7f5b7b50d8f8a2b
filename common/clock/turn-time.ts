import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "./clock.ts";

/** How long one piece of work holds the event loop before others have their turn, milliseconds, unless it says another time. */
export const HELD_MS = 10;

/**
 * Divides work over turns of the event loop where it takes longer than `heldMs` milliseconds.
 *
 * Time decides, not a number of items: while the engine marks what lives in a large heap, its four threads have four fifths of the time of a server's only processor,
 * and what takes 10 ms otherwise takes 50.
 */
export class TurnTime {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #heldMs: number;
  #begunAt: number;

  constructor(clock: Pick<Clock, "monotonic">, heldMs = HELD_MS) {
    this.#clock = clock;
    this.#heldMs = heldMs;
    this.#begunAt = clock.monotonic();
  }

  get isOver(): boolean {
    return this.#clock.monotonic() - this.#begunAt >= this.#heldMs;
  }

  /** Resolves in the next turn of the event loop. Rejects with the reason of the signal where that is aborted. */
  async next(signal?: AbortSignal): Promise<void> {
    await nextTurn();
    signal?.throwIfAborted();
    this.#begunAt = this.#clock.monotonic();
  }
}

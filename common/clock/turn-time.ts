import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "./clock.ts";

/** How long one piece of work holds the event loop before others have their turn, milliseconds. */
export const HELD_MS = 10;

/**
 * Divides work over turns of the event loop where it takes longer than HELD_MS.
 *
 * Time decides, not a number of items: while the engine marks what lives in a large heap, its four threads have four fifths of the time of a server's only processor,
 * and what takes 10 ms otherwise takes 50.
 */
export class TurnTime {
  readonly #clock: Pick<Clock, "monotonic">;
  #begunAt: number;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#begunAt = clock.monotonic();
  }

  get isOver(): boolean {
    return this.#clock.monotonic() - this.#begunAt >= HELD_MS;
  }

  /** Resolves in the next turn of the event loop. Rejects with the reason of the signal where that is aborted. */
  async next(signal?: AbortSignal): Promise<void> {
    await nextTurn();
    signal?.throwIfAborted();
    this.#begunAt = this.#clock.monotonic();
  }
}

/** Random choices that a printed seed repeats (the generator is Marsaglia's xorshift32, Journal of Statistical Software 8/14, 2003). */
export class Dice {
  readonly seed: number;
  #state: number;

  /** @param seed 1 to 2^32 - 1 */
  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0 || 1;
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    this.#state >>>= 0;
    return this.#state % below;
  }

  /** One of the choices; they must not be empty. */
  of<T>(choices: readonly T[]): T {
    const chosen = choices[this.below(choices.length)];
    if (chosen === undefined) throw new Error("nothing to choose from");
    return chosen;
  }

  /** Deals the cards again and again in a new order: each comes once before any comes twice. */
  *deal<T>(cards: readonly T[]): Generator<T, never> {
    for (;;) {
      const left = [...cards];
      while (left.length > 0) yield* left.splice(this.below(left.length), 1);
    }
  }
}

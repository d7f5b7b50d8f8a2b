/**
 * A map of at most `most` entries, in the order in which they were set or used last. An entry beyond them evicts the
 * first one: the one that was set or used longest ago.
 */
export class BoundedMap<Key, Value> extends Map<Key, Value> {
  readonly #most: number;
  readonly #evicted: ((value: Value, key: Key) => void) | undefined;

  /** @param evicted called after an entry was evicted; not for one that is deleted or replaced */
  constructor(most: number, evicted?: (value: Value, key: Key) => void) {
    super();
    this.#most = most;
    this.#evicted = evicted;
  }

  /** Puts an entry at the end, a known key included, and evicts the first entry if there is one too many. */
  override set(key: Key, value: Value): this {
    super.delete(key);
    super.set(key, value);
    if (this.size > this.#most) this.#evict();
    return this;
  }

  /** Returns the value of a key and puts its entry at the end; undefined if absent. */
  use(key: Key): Value | undefined {
    const value = this.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  #evict(): void {
    for (const [key, value] of this) {
      super.delete(key);
      this.#evicted?.(value, key);
      return;
    }
  }
}

/**
 * A list of what is waited for, in the order in which it was added.
 *
 * A Set would say the same, and does where its values stay. Where very many come and go it is dear: a table of a Set, or of a Map, that the engine
 * replaced by another one leads to that, and still holds what was in it. Once one such table has grown old, each collection of the young generation takes all later ones for alive,
 * and what they held: garbage is copied, and kept until the next full collection. A link that was taken out of this list leads nowhere.
 */
export class LinkedList<Value> {
  #first: Link<Value> | undefined;
  #last: Link<Value> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): Value | undefined {
    return this.#first?.value;
  }

  /** Adds a value at the end. The link takes it out again. */
  add(value: Value): Link<Value> {
    const link: Link<Value> = { value, before: this.#last, after: undefined };
    if (this.#last === undefined) this.#first = link;
    else this.#last.after = link;
    this.#last = link;
    this.#size++;
    return link;
  }

  /** Takes the first value out; undefined if there is none. */
  shift(): Value | undefined {
    const link = this.#first;
    if (link !== undefined) this.remove(link);
    return link?.value;
  }

  /** Takes all values out. */
  clear(): void {
    while (this.#first !== undefined) this.remove(this.#first);
  }

  /** Takes a value out; nothing if it is out already. */
  remove(link: Link<Value>): void {
    const { before, after } = link;
    if (before === undefined && this.#first !== link) return;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    link.before = undefined;
    link.after = undefined;
    this.#size--;
  }

  /** Yields the values. The one that was yielded last may be taken out meanwhile, others must not. */
  *[Symbol.iterator](): Generator<Value, void, void> {
    for (let link = this.#first; link !== undefined; ) {
      const { after } = link;
      yield link.value;
      link = link.after ?? after;
    }
  }

  /** Yields the values, the last one first. The one that was yielded last may be taken out meanwhile, others must not. */
  *fromLast(): Generator<Value, void, void> {
    for (let link = this.#last; link !== undefined; ) {
      const { before } = link;
      yield link.value;
      link = link.before ?? before;
    }
  }
}

/** The place of a value in a list. */
export type Link<Value> = { readonly value: Value; before: Link<Value> | undefined; after: Link<Value> | undefined };

/**
 * Values beside objects that are not theirs, for as long as the objects are in use. A note is a property that nothing lists or copies.
 *
 * A WeakMap would say the same, and does for objects that live long. Where they die young it is dear: the engine takes each value in a map that has grown old for alive
 * when it collects the young generation, so that garbage is copied, and then kept until the next full collection.
 */
export class SideNotes<Noted extends object, Value> {
  readonly #key: symbol;

  /** @param name shown by debuggers */
  constructor(name: string) {
    this.#key = Symbol(name);
  }

  /** Replaces the note of an object. One that takes no properties has none. */
  set(noted: Noted, value: Value): void {
    Reflect.defineProperty(noted, this.#key, { value, configurable: true });
  }

  /** Returns the note of an object; undefined if it has none. */
  get(noted: Noted): Value | undefined {
    const object: object = noted;
    return Reflect.get(object, this.#key);
  }
}

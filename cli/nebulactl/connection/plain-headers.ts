/**
 * Headers of a call with the behaviour of the platform's class (https://fetch.spec.whatwg.org/#headers-class): names in
 * lower case, the values of one name joined, iterated in the order of names. node:http refuses invalid values when they
 * are sent.
 */
export class PlainHeaders implements Headers {
  readonly #values = new Map<string, string>();

  constructor(given: HeadersInit = {}) {
    const entries: Iterable<readonly string[]> = Symbol.iterator in given ? given : Object.entries(given);
    for (const [name = "", value = ""] of entries) this.append(name, value);
  }

  append(name: string, value: string): void {
    const before = this.get(name);
    this.#values.set(name.toLowerCase(), before === null ? value.trim() : `${before}, ${value.trim()}`);
  }

  delete(name: string): void {
    this.#values.delete(name.toLowerCase());
  }

  get(name: string): string | null {
    return this.#values.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase());
  }

  set(name: string, value: string): void {
    this.#values.set(name.toLowerCase(), value.trim());
  }

  /** nebulactl keeps no cookies. */
  getSetCookie(): string[] {
    return [];
  }

  forEach(visit: (value: string, name: string, headers: Headers) => void): void {
    for (const [name, value] of this) visit(value, name, this);
  }

  entries(): HeadersIterator<[string, string]> {
    return [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1)).values();
  }

  keys(): HeadersIterator<string> {
    return this.entries().map(([name]) => name);
  }

  values(): HeadersIterator<string> {
    return this.entries().map(([, value]) => value);
  }

  [Symbol.iterator](): HeadersIterator<[string, string]> {
    return this.entries();
  }
}

/** Makes connect use PlainHeaders: the platform's class loads all of fetch, which takes as long as an empty process. */
export function usePlainHeaders(): void {
  globalThis.Headers = PlainHeaders; // assigned: Object.defineProperty loads what was there
}

/**
 * The budget of memory of the requests under way in one process, of both ports: bytes that have arrived and are not
 * answered yet.
 */

/** The most bytes that the requests under way may hold. */
export type RequestLimits = Readonly<{
  /** All of them together. */
  inAll: number;
  /** Those together of which no valid login is known. */
  beforeLogin: number;
}>;

/** The largest body that is read before its Authorization was checked, bytes. */
export const BODY_BEFORE_LOGIN = 64 * 1024;

/** When the budget is full, a login whose requests hold at most this many bytes is still let in, from a reserve of an eighth above it. */
export const SMALL_BYTES = 256 * 1024;
const KEPT_FOR_SMALL = 1 / 8;

/** The limits for requests under way in this process, small ones included: bytes count when they have arrived. docs/limits.md names the limits. */
export const HELD_BYTES: RequestLimits = { inAll: 256 * 1024 * 1024, beforeLogin: 64 * 1024 * 1024 };

/**
 * Counts what the requests under way hold. Requests without a login have a small part of it: where that is full, a request is let in by its login alone, so
 * callers without one keep nobody out.
 */
export class RequestBudget {
  readonly #limits: RequestLimits;
  #all = 0;
  #beforeLogin = 0;

  constructor(limits: RequestLimits = HELD_BYTES) {
    this.#limits = limits;
  }

  /** Bytes of all requests under way. */
  get held(): number {
    return this.#all;
  }

  /** Whether requests hold more than they may in all. */
  get isFull(): boolean {
    return this.#all > this.#limits.inAll;
  }

  /** Whether not even a login that holds little may hold more. */
  get isFullForSmall(): boolean {
    return this.#all > this.#limits.inAll * (1 + KEPT_FOR_SMALL);
  }

  /** Whether requests without a login hold more than they may together. */
  get needsLogin(): boolean {
    return this.#beforeLogin > this.#limits.beforeLogin;
  }

  add(bytes: number, loggedIn: boolean): void {
    this.#all += bytes;
    if (!loggedIn) this.#beforeLogin += bytes;
  }

  release(bytes: number, loggedIn: boolean): void {
    this.add(-bytes, loggedIn);
  }

  /** Counts these bytes as held with a login from now on. */
  loggedIn(bytes: number): void {
    this.#beforeLogin -= bytes;
  }
}

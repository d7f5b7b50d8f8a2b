import { NebulaError } from "../../common/errors/nebula-error.ts";

/** Waits until each of some devices did something, `limitMs` at most. */
export class Wait {
  readonly #left: Set<number>;
  readonly #outcome = Promise.withResolvers<void>();
  readonly #limit: NodeJS.Timeout | undefined;

  /** @param what what is waited for, to be said when it does not come: "a config" */
  constructor(devices: Iterable<number>, what: string, limitMs: number) {
    this.#left = new Set(devices);
    const all = this.#left.size;
    this.#outcome.promise.catch(() => {}); // each waiter gets it; there may be none
    if (all === 0) this.#outcome.resolve();
    else
      this.#limit = setTimeout(() => {
        const reason = `${this.#left.size} of ${all} devices got no ${what} within ${limitMs / 1000} s`;
        this.#outcome.reject(new NebulaError("deadline_exceeded", reason));
      }, limitMs);
  }

  /** Resolves when all did it. */
  get done(): Promise<void> {
    return this.#outcome.promise;
  }

  /** The device did it; false when it was not waited for, or did it before. */
  arrived(device: number): boolean {
    if (!this.#left.delete(device)) return false;
    if (this.#left.size === 0) {
      clearTimeout(this.#limit);
      this.#outcome.resolve();
    }
    return true;
  }

  fail(error: unknown): void {
    clearTimeout(this.#limit);
    this.#outcome.reject(error);
  }
}

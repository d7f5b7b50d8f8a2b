import type { Clock } from "../../../common/clock/clock.ts";
import { messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import { INSPECT_LIMIT_MS } from "../container-runtime.ts";

/**
 * The trouble with one call: the engine takes `afterMs` milliseconds for it, and then refuses it with these words, or
 * does it (undefined).
 */
export type Trouble = Readonly<{ afterMs: number; refusal: string | undefined }>;

/** A call that the engine never finishes. */
export const HANGS: Trouble = { afterMs: Number.POSITIVE_INFINITY, refusal: undefined };

export type TroubledCall = Readonly<{
  what: string;
  /** Of the container whose lock the call takes, or the name of what is to be made. */
  id: string;
  trouble: Trouble | undefined;
  /** After this time, milliseconds, the caller gets no answer any more. */
  limitMs: number;
  signal: AbortSignal;
}>;

/**
 * Calls that hang, take their time or are refused, as a real engine's do.
 * 1. A call holds its container's lock until the engine has finished it; other calls about the container wait for it.
 * 2. A caller that has given up, or was killed, changes nothing for the engine: the call is finished, and may take
 *    effect.
 */
export class SimulatedTroubles {
  readonly #clock: Clock;
  readonly #locks = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get holdsAny(): boolean {
    return this.#locks.size > 0;
  }

  /**
   * Has the engine do `act`, and waits for it within the caller's limit. Rejects with `deadline_exceeded` or
   * `cancelled` when the caller gives up.
   */
  async call<T>({ what, id, trouble, limitMs, signal }: TroubledCall, act: () => T): Promise<T> {
    if (trouble === undefined && !this.#locks.has(id)) return act();
    if (trouble?.afterMs === 0 && !this.#locks.has(id)) return actOrRefuse(trouble, act);
    const result = (this.#locks.get(id) ?? Promise.resolve()).then(async () => {
      if (trouble !== undefined && trouble.afterMs > 0) await this.#pass(trouble.afterMs);
      return actOrRefuse(trouble, act);
    });
    this.#lock(id, result); // 1
    return await this.#withinLimit(result, { what, limitMs, signal });
  }

  /** Why an inspect that a list makes fails; undefined: it does not. */
  async inspectFailure(id: string, trouble: Trouble | undefined, signal: AbortSignal): Promise<string | undefined> {
    try {
      await this.call({ what: "inspectContainer", id, trouble, limitMs: INSPECT_LIMIT_MS, signal }, () => {});
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      return messageOf(error);
    }
  }

  /** Ends every wait of the engine's. */
  end(): void {
    this.#closing.abort();
  }

  #lock(id: string, held: Promise<unknown>): void {
    const lock = held
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#locks.get(id) === lock) this.#locks.delete(id);
      });
    this.#locks.set(id, lock);
  }

  #pass(ms: number): Promise<void> {
    const { signal } = this.#closing;
    if (Number.isFinite(ms)) return this.#clock.sleep(ms, signal);
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  }

  /** 2 */
  async #withinLimit<T>(result: Promise<T>, { what, limitMs, signal }: Pick<TroubledCall, "what" | "limitMs" | "signal">): Promise<T> {
    const answered = new AbortController();
    const limit = this.#clock.sleep(limitMs, AbortSignal.any([answered.signal, signal])).then(() => {
      throw new NebulaError("deadline_exceeded", `${what}: the simulated engine did not answer within ${limitMs} ms`);
    });
    try {
      return await Promise.race([result, limit]);
    } catch (error) {
      if (signal.aborted) throw new NebulaError("cancelled", `${what} is not wanted any more`);
      throw error;
    } finally {
      answered.abort();
    }
  }
}

function actOrRefuse<T>(trouble: Trouble | undefined, act: () => T): T {
  if (trouble?.refusal !== undefined) throw new NebulaError("failed_precondition", trouble.refusal);
  return act();
}

import type { Clock } from "../../../../common/clock/clock.ts";
import { POLL_MS } from "./live-hub.ts";
import { afterTrouble, LOADING, type Loaded, ready, troubleOf } from "./loaded.ts";

/** Whether somebody looks at the tab. */
export type Attention = Readonly<{
  /** Whether the tab is visible, or was a moment ago. */
  isAwake: () => boolean;
  /** Resolves when it is; rejects with the reason of the signal. */
  whenAwake: (signal: AbortSignal) => Promise<void>;
}>;

export type ReadingOptions<T> = Readonly<{
  read: (signal: AbortSignal) => Promise<T>;
  publish: (state: Loaded<T>) => void;
  attention: Attention;
  clock: Clock;
  /** Gets an error that is a fault of the page. */
  report: (error: unknown) => void;
  /** How long after one read the next one begins, milliseconds. */
  everyMs?: number;
}>;

export type Reading = Disposable & {
  /** Reads now, as after a change that this tab made. */
  again(): void;
};

/** Reads something at once, and again and again while somebody looks. A read that failed is tried again as any other. */
export function startReading<T>({ read, publish, attention, clock, report, everyMs = POLL_MS }: ReadingOptions<T>): Reading {
  const ended = new AbortController();
  let wait = new AbortController();
  let state: Loaded<T> = LOADING;

  async function run(): Promise<void> {
    const { signal } = ended;
    while (!signal.aborted) {
      if (!attention.isAwake()) await attention.whenAwake(signal).catch(() => {});
      if (signal.aborted) return;
      wait = new AbortController();
      try {
        const value = await read(signal);
        state = ready(value, clock.now());
      } catch (error) {
        if (signal.aborted) return;
        state = afterTrouble(state, troubleOf(error, report));
      }
      if (signal.aborted) return;
      publish(state);
      await clock.sleep(everyMs, AbortSignal.any([signal, wait.signal])).catch(() => {});
    }
  }

  void run();
  return {
    again: () => wait.abort(),
    [Symbol.dispose]: () => ended.abort(),
  };
}

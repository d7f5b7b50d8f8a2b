import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { RuntimeEvent } from "../container-runtime.ts";

/** More events than this waiting for one reader end its stream: it has to list again, as after a lost connection. */
const MOST_WAITING = 1000;

type Subscriber = { waiting: RuntimeEvent[]; end: { error: NebulaError | undefined } | undefined; wake: () => void };

/** Tells every subscriber each event; a slow one loses its stream, never delays another. */
export class EventFan {
  readonly #subscribers = new Set<Subscriber>();

  emit(event: RuntimeEvent): void {
    for (const subscriber of this.#subscribers) {
      subscriber.waiting.push(event);
      if (subscriber.waiting.length > MOST_WAITING) {
        this.#end(subscriber, new NebulaError("unavailable", `more than ${MOST_WAITING} events were waiting; list again`));
      }
      subscriber.wake();
    }
  }

  /** Ends every stream, with an error or quietly. */
  endAll(error: NebulaError | undefined): void {
    for (const subscriber of this.#subscribers) this.#end(subscriber, error);
  }

  /** From now on, not from the first `next()` on: no event between the call and the reading is lost. */
  subscribe(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const subscriber: Subscriber = { waiting: [], end: undefined, wake: () => {} };
    this.#subscribers.add(subscriber);
    return this.#read(subscriber, signal);
  }

  async *#read(subscriber: Subscriber, signal: AbortSignal): AsyncGenerator<RuntimeEvent, void, undefined> {
    const onAbort = () => subscriber.wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        const event = subscriber.waiting.shift();
        if (event !== undefined) {
          yield event;
        } else if (subscriber.end !== undefined) {
          if (subscriber.end.error !== undefined) throw subscriber.end.error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            subscriber.wake = resolve;
          });
        }
      }
    } finally {
      this.#subscribers.delete(subscriber);
      signal.removeEventListener("abort", onAbort);
    }
  }

  #end(subscriber: Subscriber, error: NebulaError | undefined): void {
    subscriber.end = { error };
    this.#subscribers.delete(subscriber);
    subscriber.wake();
  }
}

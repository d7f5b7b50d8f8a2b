import { backoffMs } from "../../common/clock/backoff.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { ContainerRuntime, RuntimeEvent } from "../runtime/container-runtime.ts";

/**
 * This number of streams in a row that ended without an event means that the engine, or a proxy before it, refuses
 * them.
 */
const REFUSED_AFTER = 3;
/** A stream that stayed open for this long, milliseconds, was not refused, though nothing happened. */
const HELD_MS = 60_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 5 * 60_000;

export type EventFeedOptions = Readonly<{
  runtime: ContainerRuntime;
  clock: Clock;
  log: Log;
  onEvent: (event: RuntimeEvent) => void;
  /** Events are unavailable from now on. */
  onRefused: () => void;
}>;

/** Reads the engine's events, and knows whether there are any to be read. */
export class EventFeed {
  readonly #options: EventFeedOptions;
  /** Streams in a row that ended without an event. */
  #refused = 0;
  #reason = "";
  /** Since when a stream is open, milliseconds of the monotonic clock. */
  #openSince: number | undefined;

  constructor(options: EventFeedOptions) {
    this.#options = options;
  }

  /** Why events are unavailable; undefined: they are not. */
  get refusal(): string | undefined {
    return this.#refused >= REFUSED_AFTER && !this.#isHeld ? this.#reason : undefined;
  }

  get #isHeld(): boolean {
    return this.#openSince !== undefined && this.#options.clock.monotonic() - this.#openSince >= HELD_MS;
  }

  /**
   * Reads until the stream ends: the connection to the engine may be lost then. Streams that are refused are opened
   * again, with waits that grow. Never rejects; resolves once the signal is aborted.
   */
  async follow(signal: AbortSignal): Promise<void> {
    const { clock, log, onRefused } = this.#options;
    for (;;) {
      await this.#read(signal);
      if (signal.aborted || this.#refused < REFUSED_AFTER) return;
      if (this.#refused === REFUSED_AFTER) {
        log.warn({ reason: this.#reason }, "the engine's events are unavailable; looking every 30 s instead");
        onRefused();
      }
      const waitMs = backoffMs({ firstMs: FIRST_WAIT_MS, longestMs: LONGEST_WAIT_MS }, this.#refused - REFUSED_AFTER + 1);
      await clock.sleep(waitMs, signal).catch(() => {}); // aborted: the next read returns at once
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { runtime, clock, log, onEvent } = this.#options;
    this.#openSince = clock.monotonic();
    let hasTold = false;
    try {
      for await (const event of runtime.events(signal)) {
        hasTold = true;
        this.#refused = 0;
        onEvent(event);
      }
      this.#reason = "the stream ended at once";
    } catch (error) {
      this.#reason = messageOf(error);
      if (!signal.aborted) log.debug({ reason: this.#reason }, "the engine's events ended");
    }
    if (!signal.aborted) this.#refused = hasTold || this.#isHeld ? 0 : this.#refused + 1;
    this.#openSince = undefined;
  }
}

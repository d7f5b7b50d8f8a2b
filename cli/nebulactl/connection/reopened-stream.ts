import { Code, ConnectError } from "@connectrpc/connect";
import { type Backoff, backoffMs, withJitter } from "../../../common/clock/backoff.ts";
import type { Clock } from "../../../common/clock/clock.ts";

const BACKOFF: Backoff = { firstMs: 500, longestMs: 10_000 };

/** Ends of a stream after which it is opened again: the server is away or restarts, or the stream reached its longest time. */
const PASSING: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.Unknown, Code.Internal]);

export type ReopenedStream<T> = Readonly<{
  /** Opens the stream; what it sends describes the present, so that a second opening continues the first. */
  open(): AsyncIterable<T>;
  /** Called before each opening but the first, with the error that ended the one before; undefined if the server ended it in good order. */
  onBreak(error: unknown): void;
  clock: Pick<Clock, "sleep">;
  signal: AbortSignal;
}>;

/**
 * The messages of a server stream that is opened again whenever it breaks, with a wait that grows while no message comes. Each message has the number
 * of the opening that it came from. Rejects with the server's refusal, with the error of the first opening, and with the reason of the signal.
 */
export async function* reopened<T>({ open, onBreak, clock, signal }: ReopenedStream<T>): AsyncGenerator<{ opening: number; message: T }> {
  let answered = false;
  for (let opening = 0, failures = 0; ; opening++) {
    let broken: unknown;
    try {
      for await (const message of open()) {
        answered = true;
        failures = 0;
        yield { opening, message };
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!answered || !isPassing(error)) throw error;
      broken = error;
    }
    failures++;
    onBreak(broken);
    await clock.sleep(withJitter(backoffMs(BACKOFF, failures)), signal);
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof ConnectError && PASSING.has(error.code);
}

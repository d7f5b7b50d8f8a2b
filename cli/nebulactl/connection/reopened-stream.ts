import { Code, ConnectError } from "@connectrpc/connect";
import { type Backoff, backoffMs, withJitter } from "../../../common/clock/backoff.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";

/** Before a stream that broke is opened again. */
const BACKOFF: Backoff = { firstMs: 500, longestMs: 10_000 };

/** How long a server may take to end a stream whose time is over, milliseconds. */
const GRACE_MS = 30_000;

/**
 * Ends of a stream after which it is opened again: the server is away or restarts, something on the way reset the stream, or it reached its longest time. All
 * others are refusals, which are the same when the call is made again.
 */
const PASSING: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.Unknown, Code.Internal, Code.Canceled]);

export type ReopenedStream<T> = Readonly<{
  /**
   * Opens the stream; what it sends describes the present, so that a second opening continues the first.
   * @param until aborted when nothing more is read of it
   * @param leftMs the rest of `limitMs`, a whole number; infinity without a limit
   */
  open(until: AbortSignal, leftMs: number): AsyncIterable<T>;
  /** Called before each opening but the first, with the error that ended the one before; undefined if the server ended it in good order. */
  onBreak(error: unknown): void;
  /** How long the stream is opened again, milliseconds, also where the first opening fails. Undefined: without end, if the first opening brought a message. */
  limitMs?: number;
  clock: Pick<Clock, "sleep" | "monotonic">;
  signal: AbortSignal;
}>;

/**
 * The messages of a server stream that is opened again whenever it breaks, with a wait that grows while no message comes. Each message has the number
 * of the opening that it came from. Rejects with the server's refusal; with the error of an opening after which it is not opened again; and with the reason
 * of the signal.
 */
export async function* reopened<T>({
  open,
  onBreak,
  limitMs = Number.POSITIVE_INFINITY,
  clock,
  signal,
}: ReopenedStream<T>): AsyncGenerator<{ opening: number; message: T }> {
  const deadline = clock.monotonic() + limitMs;
  const leftMs = () => Math.max(0, Math.round(deadline - clock.monotonic()));
  let isReopened = Number.isFinite(limitMs);
  for (let opening = 0, failures = 0; ; opening++) {
    let broken: unknown;
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    try {
      if (Number.isFinite(limitMs)) abortAfter(leftMs() + GRACE_MS, over, clock);
      for await (const message of open(until, leftMs())) {
        isReopened = true;
        failures = 0;
        yield { opening, message };
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isReopened || !isPassing(error)) throw error;
      broken = error;
    } finally {
      over.abort(); // a call whose answers are not read on keeps its connection otherwise
    }
    failures++;
    const retryMs = withJitter(backoffMs(BACKOFF, failures));
    if (retryMs >= leftMs()) throw broken ?? new NebulaError("unavailable", "the server ended the stream before its last message");
    onBreak(broken);
    await clock.sleep(retryMs, signal);
  }
}

function abortAfter(ms: number, over: AbortController, clock: Pick<Clock, "sleep">): void {
  clock.sleep(ms, over.signal).then(
    () => over.abort(),
    () => {},
  );
}

function isPassing(error: unknown): boolean {
  return error instanceof ConnectError && PASSING.has(error.code);
}

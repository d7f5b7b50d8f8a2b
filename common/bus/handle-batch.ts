import type { Clock } from "../clock/clock.ts";
import { NebulaError } from "../errors/nebula-error.ts";
import type { BatchHandler, BusMessage } from "./report-bus.ts";

const RETRY_FIRST_MS = 100;
const RETRY_LONGEST_MS = 10_000;
/** How long a batch may take after its consumer was told to stop, milliseconds. */
const STOP_LIMIT_MS = 10_000;

export type HandleBatchOptions = Readonly<{
  clock: Clock;
  /** Ends the repeats. A handler that runs may finish, within 10 s. */
  stop: AbortSignal;
  /** The batch's partition belongs to another consumer. */
  lost: AbortSignal;
  /** Called before each repeat. */
  onRepeat?: () => void;
}>;

/**
 * Hands a batch to its handler until the handler resolves, with growing waits (100 ms to 10 s) between the attempts.
 * Rejects when `stop` or `lost` ended that: then the batch is not done, and must not be committed.
 */
export async function handleBatch(handler: BatchHandler, batch: readonly BusMessage[], options: HandleBatchOptions): Promise<void> {
  const { clock, stop, lost, onRepeat } = options;
  const over = AbortSignal.any([stop, lost]);
  const handled = new AbortController();
  const late = lateAfterStop(clock, stop, handled.signal);
  const signal = AbortSignal.any([lost, late]);
  try {
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(waitMs * 2, RETRY_LONGEST_MS)) {
      lost.throwIfAborted();
      try {
        return await handler(batch, signal);
      } catch (error) {
        if (over.aborted) throw error;
      }
      await clock.sleep(waitMs, over);
      onRepeat?.();
    }
  } finally {
    handled.abort();
  }
}

/** A signal that is aborted STOP_LIMIT_MS after the stop, unless the batch was handled before. */
function lateAfterStop(clock: Clock, stop: AbortSignal, handled: AbortSignal): AbortSignal {
  const late = new AbortController();
  const onStop = () => {
    clock.sleep(STOP_LIMIT_MS, handled).then(
      () => late.abort(new NebulaError("cancelled", "the consumer of reports stops, and this batch took too long")),
      () => {}, // handled in time
    );
  };
  if (stop.aborted) onStop();
  else stop.addEventListener("abort", onStop, { once: true, signal: handled });
  return late.signal;
}

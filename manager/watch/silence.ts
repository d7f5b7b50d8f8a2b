import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";

/** How often the connections are looked at, and how long after a push something has to be heard. Milliseconds. */
export type SilenceTimes = Readonly<{ everyMs: number; answerMs: number }>;

type Why = "silent" | "unanswered";

const STREAMS_PER_TURN = 1000;

/** Ends connections on which nothing is heard any more: one loop that reads a counter of each, in place of a timer per stream. */
export async function watchSilence<Stream extends { silence(now: number, answerMs: number): Why | undefined }>(
  streams: () => Iterable<Stream>,
  onSilent: (stream: Stream, why: Why) => void,
  { clock, times, signal }: { clock: Clock; times: SilenceTimes; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(times.everyMs, signal).catch(() => {});
    let looked = 0;
    for (const stream of streams()) {
      if (signal.aborted) return;
      const why = stream.silence(Math.trunc(clock.monotonic()), times.answerMs);
      if (why !== undefined) onSilent(stream, why);
      if (++looked % STREAMS_PER_TURN === 0) await turn();
    }
  }
}

/**
 * Decides which of the live data that tabs show comes by a stream, and which is polled. Browsers open six
 * connections to a server that speaks HTTP/1.1, all tabs together, and each stream takes one.
 *
 * L1 A tab that was hidden for HIDDEN_MS counts as if it showed nothing.
 * L2 Streams are for what was looked at last: first what a visible tab shows, then what a tab shows that was hidden a
 *    moment ago, each by the time of its last look.
 * L3 Data that a visible tab shows, and that have no stream, are polled. Data that only hidden tabs show are not.
 */

/** How long a hidden tab still counts, milliseconds. */
export const HIDDEN_MS = 60_000;

/** Something that tabs show, as it is now. */
export type Shown = Readonly<{
  key: string;
  /** Whether a visible tab shows it. */
  isVisible: boolean;
  /** Rises with each look, at anything. */
  lookedAt: number;
  /** Whether it has a stream, and the stream was not refused a moment ago. */
  mayStream: boolean;
}>;

export type Way = "stream" | "poll" | "rest";

/** Returns how each of what tabs show gets its data. */
export function planLive(shown: readonly Shown[], streams: number): ReadonlyMap<string, Way> {
  const first = shown
    .filter(({ mayStream }) => mayStream)
    .toSorted((a, b) => Number(b.isVisible) - Number(a.isVisible) || b.lookedAt - a.lookedAt) // L2
    .slice(0, streams);
  const streaming = new Set(first.map(({ key }) => key));
  return new Map(shown.map(({ key, isVisible }) => [key, streaming.has(key) ? "stream" : isVisible ? "poll" : "rest"] as const)); // L3
}

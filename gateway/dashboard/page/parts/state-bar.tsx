import { formatCount } from "./format.ts";
import { placeSegments, type Segment } from "./state-bar-segments.ts";

/** `word`: `failed`. */
export type BarPart = Segment & Readonly<{ word: string }>;

/** A bar of devices by state. Its numbers are read aloud; the bar itself is for the eye. Colours are of the class `state-STATE`. */
export function StateBar({ parts, size = "line" }: Readonly<{ parts: readonly BarPart[]; size?: "line" | "large" }>) {
  const text = parts.filter(({ count }) => count > 0n).map(({ count, word }) => `${formatCount(count)} ${word}`);
  return (
    <svg class={`bar bar-${size}`} role="img" aria-label={text.length === 0 ? "no devices" : text.join(", ")}>
      <title>{text.join(", ")}</title>
      <rect class="bar-empty" width="100%" height="100%" />
      {placeSegments(parts).map(({ state, from, length }) => (
        <rect key={state} class={`fill-${state}`} x={`${from}%`} width={`${length}%`} height="100%" />
      ))}
    </svg>
  );
}

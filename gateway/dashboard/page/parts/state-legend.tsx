import { formatShare } from "./format.ts";
import { type BarPart, StateBar } from "./state-bar.tsx";
import { Count } from "./values.tsx";

/** Devices by state as a large bar, and each state with its number and share. Those that never came are no part of the whole. */
export function StateLegend({ states }: Readonly<{ states: readonly (BarPart & Readonly<{ to: string | undefined }>)[] }>) {
  const devices = states.reduce((sum, { state, count }) => (state === "never-came" ? sum : sum + count), 0n);
  return (
    <>
      <StateBar parts={states} size="large" />
      <ul class="legend">
        {states.map(({ state, word, count, to }) => (
          <li key={state} class={count === 0n ? "legend-none" : ""}>
            <svg class="dot" width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
              <rect class={`fill-${state}`} width="10" height="10" rx="2" />
            </svg>
            <span class="legend-count">
              <Count value={count} to={count === 0n ? undefined : to} of={word} />
            </span>
            <span class="legend-word">{word}</span>
            <span class="legend-share faint">{state === "never-came" ? "enrolled" : formatShare(count, devices)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

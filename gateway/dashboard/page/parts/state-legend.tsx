import { formatShare } from "./format.ts";
import { type BarPart, StateBar } from "./state-bar.tsx";
import { Count } from "./values.tsx";

/** Devices in one state, and where these are listed; undefined: nowhere. */
type LinkedPart = BarPart & Readonly<{ to: string | undefined }>;

/** Devices by state as a large bar, and each state with its number and share. Those that never came are no part of the whole. */
export function StateLegend({ states }: Readonly<{ states: readonly LinkedPart[] }>) {
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

/** The number of devices in one of these states; none is faint. `within`: the group or app whose devices they are. */
export function StateNumber({ states, state, within }: Readonly<{ states: readonly LinkedPart[]; state: string; within: string }>) {
  const of = states.find((one) => one.state === state);
  if (of === undefined || of.count === 0n) return <span class="faint number">0</span>;
  return <Count value={of.count} to={of.to} of={`${of.word} in ${within}`} />;
}

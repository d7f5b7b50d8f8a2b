import type { Rollout } from "./rollout.ts";

/** What happened, and how fast. */
export function summary(rollouts: readonly Rollout[], expected: number): string[] {
  return [
    "",
    "What happened",
    ...rollouts.flatMap(({ title, revision, answerMs, applied, failed }, i) => {
      const times = applied.map(({ afterMs }) => afterMs).sort((a, b) => a - b);
      const real = applied.find(({ deviceId }) => deviceId === "this-machine");
      const half = times[Math.floor((times.length - 1) / 2)];
      const last = times.at(-1);
      return [
        `  ${i + 1}. ${title} (revision ${revision}): the API answered after ${answerMs.toFixed(0)} ms`,
        `     ${applied.length} of ${expected} devices run it: half of them within ${shown(half)}, the last after ${shown(last)}`,
        ...(real === undefined ? [] : [`     this machine's containers ran after ${shown(real.afterMs)}`]),
        ...failed.map(({ deviceId, reason }) => `     ${deviceId} failed: ${reason}`),
      ];
    }),
    "  (simulated pulls take up to 400 ms; each time is the device's own word, counted from the moment the change was stored)",
  ];
}

function shown(ms: number | undefined): string {
  return ms === undefined ? "-" : ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

import { HIDDEN_MS } from "../data/live-plan.ts";
import type { Attention } from "../data/reading.ts";

/** Whether somebody looks at this tab. */
export function watchAttention(): Attention {
  let hiddenAt = document.hidden ? Number.NEGATIVE_INFINITY : 0;
  const waiting = new Set<() => void>();
  document.addEventListener("visibilitychange", () => {
    hiddenAt = performance.now();
    if (!document.hidden) for (const wake of waiting) wake();
  });
  return {
    isAwake: () => !document.hidden || performance.now() - hiddenAt < HIDDEN_MS,
    whenAwake(signal) {
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          waiting.delete(wake);
          reject(signal.reason);
        };
        const wake = () => {
          waiting.delete(wake);
          signal.removeEventListener("abort", onAbort);
          resolve();
        };
        waiting.add(wake);
        signal.addEventListener("abort", onAbort, { once: true });
        if (!document.hidden) wake();
      });
    },
  };
}

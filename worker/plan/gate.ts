import type { RunWatch } from "../memory.ts";
import { isUp } from "../owned.ts";
import type { HealthcheckSpec, ObservedContainer } from "../runtime/container-runtime.ts";
import type { View } from "./view.ts";

/**
 * Whether a container counts as well: `passing`, `sick`, or `undecided` until `decidedAt` (monotonic milliseconds) at the latest;
 * `paused`: somebody paused it; `down`: it does not run at all. A sick one may pass at `decidedAt`.
 */
export type Gate = Readonly<
  | { kind: "passing" }
  | { kind: "sick"; reason: string; decidedAt?: number }
  | { kind: "undecided"; decidedAt: number }
  | { kind: "paused" }
  | { kind: "down" }
>;

/** The engine's defaults where a health check says 0. */
const DEFAULT_INTERVAL_MS = 30_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_RETRIES = 3;
const DEADLINE_MARGIN_MS = 30_000;

/**
 * With a health check: healthy, sick when it is unhealthy or not healthy in time. Without: running for `minHealthyMs` without a restart, by the worker's
 * monotonic clock since it first saw that.
 * @param ownCheck the health check of the app; undefined: the image's
 */
export function gateOf(container: ObservedContainer, minHealthyMs: number, ownCheck: HealthcheckSpec | undefined, view: View): Gate {
  if (!isUp(container.phase)) return { kind: "down" };
  const run = view.memory.runs.get(container.id);
  if (container.phase === "paused") return { kind: "paused" };
  if (container.phase === "restarting") return { kind: "sick", reason: endsReason(container, run) };
  const since = run?.since ?? view.now.monotonic;
  switch (container.health) {
    case "healthy":
      return { kind: "passing" };
    case "unhealthy":
      return { kind: "sick", reason: unhealthyReason(container) };
    case "starting":
      return startingGate(container, since, healthDeadlineMs(ownCheck ?? view.observed.imageHealthchecks.get(container.imageId)), view);
    case "none": {
      const passesAt = since + minHealthyMs;
      if (view.now.monotonic >= passesAt) return { kind: "passing" };
      if ((run?.restartsSeen ?? 0) > 0) return { kind: "sick", reason: endsReason(container, run), decidedAt: passesAt };
      return { kind: "undecided", decidedAt: passesAt };
    }
  }
}

function startingGate(container: ObservedContainer, since: number, deadlineMs: number, view: View): Gate {
  const decidedAt = since + deadlineMs;
  if (view.now.monotonic < decidedAt) return { kind: "undecided", decidedAt };
  return { kind: "sick", reason: `container ${container.name} is not healthy ${Math.round(deadlineMs / 1000)} s after its start` };
}

/** How long a container may take to become healthy, milliseconds. */
function healthDeadlineMs(check: HealthcheckSpec | undefined): number {
  const intervalMs = check?.intervalMs || DEFAULT_INTERVAL_MS;
  const timeoutMs = check?.timeoutMs || DEFAULT_TIMEOUT_MS;
  const retries = check?.retries || DEFAULT_RETRIES;
  return (check?.startPeriodMs ?? 0) + retries * (intervalMs + timeoutMs) + DEADLINE_MARGIN_MS;
}

function unhealthyReason({ name, healthOutput }: ObservedContainer): string {
  return `container ${name} is unhealthy: its health check fails${healthOutput === undefined ? "" : `, and prints: ${healthOutput}`}`;
}

function endsReason(container: ObservedContainer, run: RunWatch | undefined): string {
  const code = container.exitCode ?? run?.exitCode;
  const ends = code === undefined ? "ends" : `ends with exit code ${code}`;
  const memory = container.outOfMemory ?? run?.outOfMemory;
  if (memory !== undefined) {
    const limit = memory.limitBytes === 0 ? "it has no limit of its own" : `its limit is ${Math.round(memory.limitBytes / 2 ** 20)} MB`;
    return `container ${container.name} runs out of memory again and again (${limit}); the engine restarted it ${container.restartCount} times`;
  }
  return `container ${container.name} ${ends} again and again; the engine restarted it ${container.restartCount} times`;
}

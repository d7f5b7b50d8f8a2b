import type { HealthcheckSpec } from "../../common/desired/container-spec.ts";
import type { Cause } from "../../common/desired/desired.ts";
import { FailureCode } from "../../gen/nebula/v1/report_pb.ts";
import { isUp, type Owned } from "../observed/owned.ts";
import type { ObservedContainer } from "../runtime/container-runtime.ts";
import type { RunWatch } from "./memory/memory.ts";
import type { View } from "./view.ts";
import { NO_WORK, together, unlessFailing, type Work } from "./work.ts";

/**
 * Whether a container counts as well: `passing`, `sick`, or `undecided` until `decidedAt` (monotonic milliseconds) at the latest;
 * `paused`: somebody paused it; `down`: it does not run at all. A sick one may pass at `decidedAt`.
 */
export type Gate = Readonly<
  | { kind: "passing" }
  | ({ kind: "sick"; decidedAt?: number } & Cause)
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
 * A container that somebody paused is left alone for this long, milliseconds: backups and `docker commit` pause what
 * they copy.
 */
const PAUSE_MS = 2 * 60_000;

/**
 * With a health check: healthy, sick when it is unhealthy or not healthy in time. Without: running for `minHealthyMs` without a restart, by the worker's
 * monotonic clock since it first saw that.
 * @param ownCheck the health check of the app; undefined: the image's
 */
export function gateOf(container: ObservedContainer, minHealthyMs: number, ownCheck: HealthcheckSpec | undefined, view: View): Gate {
  if (!isUp(container.phase)) return { kind: "down" };
  const run = view.memory.runs.get(container.id);
  if (container.phase === "paused") return { kind: "paused" };
  if (container.phase === "restarting") return { kind: "sick", code: FailureCode.EXITS, reason: endsReason(container, run) };
  const since = run?.since ?? view.now.monotonic;
  switch (container.health) {
    case "healthy":
      return { kind: "passing" };
    case "unhealthy":
      return { kind: "sick", code: FailureCode.UNHEALTHY, reason: unhealthyReason(container) };
    case "starting":
      return startingGate(container, since, healthDeadlineMs(ownCheck ?? view.observed.imageHealthchecks.get(container.imageId)), view);
    case "none": {
      const passesAt = since + minHealthyMs;
      if (view.now.monotonic >= passesAt) return { kind: "passing" };
      if ((run?.restartsSeen ?? 0) > 0) return { kind: "sick", code: FailureCode.EXITS, reason: endsReason(container, run), decidedAt: passesAt };
      return { kind: "undecided", decidedAt: passesAt };
    }
  }
}

function startingGate(container: ObservedContainer, since: number, deadlineMs: number, view: View): Gate {
  const decidedAt = since + deadlineMs;
  if (view.now.monotonic < decidedAt) return { kind: "undecided", decidedAt };
  const reason = `container ${container.name} is not healthy ${Math.round(deadlineMs / 1000)} s after its start`;
  return { kind: "sick", code: FailureCode.HEALTH_TIMEOUT, reason };
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

/**
 * Restarts an app's container that is unhealthy. Between two restarts it waits a minute, doubling to an hour
 * (memory/retry.ts); after 10 minutes of health the wait is a minute again (memory/remember.ts). A paused container is
 * unpaused in time and never restarted; runs of a cron_job and containers of a refused app are left alone.
 */
export function repairHealth(owned: Owned, unit: string, graceSeconds: number, view: View): Work {
  const { id, phase, health } = owned.container;
  if (phase === "paused") return endPause(owned, unit, view);
  if (phase !== "running" || health !== "unhealthy" || view.observed.jobs.stops.has(id)) return NO_WORK;
  const notBefore = view.memory.healthRestarts.get(id)?.notBefore ?? 0;
  if (view.now.monotonic < notBefore) return { steps: [], wakeAt: notBefore };
  return unlessFailing({ kind: "restart", unit, containerId: id, graceSeconds }, view);
}

/** Unpauses a container once its pause has lasted long enough. */
export function endPause({ container }: Owned, unit: string, view: View): Work {
  const { id, phase } = container;
  if (phase !== "paused" || view.observed.jobs.stops.has(id)) return NO_WORK;
  const endsAt = pauseEndsAt(container, view);
  if (view.now.monotonic < endsAt) return { steps: [], wakeAt: endsAt };
  return unlessFailing({ kind: "unpause", unit, containerId: id }, view);
}

export function endPauses(containers: readonly Owned[], unit: string, view: View): Work {
  return together(containers.map((owned) => endPause(owned, unit, view)));
}

/** One sentence for each container that somebody paused. */
export function pauseNotes(containers: readonly Owned[]): readonly string[] {
  return containers.flatMap(({ container: { name, phase } }) =>
    phase === "paused" ? [`container ${name} is paused; it is unpaused when it has been so for ${PAUSE_MS / 60_000} minutes`] : [],
  );
}

function pauseEndsAt({ id }: ObservedContainer, { memory, now }: View): number {
  return (memory.runs.get(id)?.pausedSince ?? now.monotonic) + PAUSE_MS;
}

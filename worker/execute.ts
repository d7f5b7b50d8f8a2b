import { assertNever } from "../common/errors/assert-never.ts";
import { isNebulaError, messageOf } from "../common/errors/nebula-error.ts";
import type { JobBoard } from "./jobs.ts";
import { LABEL, ORCHESTRATOR } from "./labels.ts";
import type { ContainerRuntime } from "./runtime/container-runtime.ts";
import { mapLimited } from "./runtime/map-limited.ts";
import type { Step, StepOutcome } from "./step.ts";

/** Units that are worked on side by side. */
const UNITS_AT_ONCE = 4;

export type ExecuteContext = Readonly<{
  runtime: ContainerRuntime;
  jobs: JobBoard;
  /** Called before each step: true ends the round there. */
  isOver: () => boolean;
  onOutcome: (step: Step, outcome: StepOutcome) => void;
  signal: AbortSignal;
}>;

/**
 * Does the steps of one round: those of a unit in their order, up to the first that fails, different units side by side. Jobs are only started.
 * Rejects with `unavailable` when the engine went away: that is no step's fault.
 */
export async function executeRound(steps: readonly Step[], context: ExecuteContext): Promise<void> {
  const units = [...Map.groupBy(steps, ({ unit }) => unit).values()];
  let lost: unknown;
  await mapLimited(units, UNITS_AT_ONCE, async (unit) => {
    for (const step of unit) {
      if (lost !== undefined || context.isOver() || context.signal.aborted) return;
      try {
        await executeStep(step, context);
      } catch (error) {
        if (isNebulaError(error, "unavailable")) lost = error;
        else if (!context.signal.aborted) context.onOutcome(step, { kind: "failed", reason: messageOf(error) });
        return;
      }
      if (!isJob(step)) context.onOutcome(step, { kind: "done" });
    }
  });
  context.signal.throwIfAborted();
  if (lost !== undefined) throw lost;
}

/** One step is one call; a job is only begun. */
async function executeStep(step: Step, { runtime, jobs, signal }: ExecuteContext): Promise<void> {
  switch (step.kind) {
    case "create_network":
      return await runtime.createNetwork(step.network, { [LABEL.orchestrator]: ORCHESTRATOR }, signal);
    case "create":
      await runtime.create(step.request, signal);
      return;
    case "connect":
      return await runtime.connectNetwork(step.containerId, step.network, signal);
    case "start":
      return await runtime.start(step.containerId, signal);
    case "rename":
      return await runtime.rename(step.containerId, step.name, signal);
    case "remove":
      return await runtime.remove(step.containerId, { force: step.force }, signal);
    case "remove_image":
      return await runtime.removeImage(step.imageId, signal);
    case "stop":
    case "restart":
      return jobs.stop(step);
    case "pull":
      return jobs.pull(step);
    case "abort_pull":
      return jobs.abortPull(step.image);
    case "adopt":
    case "run_failed":
    case "prune_done":
      return;
    default:
      return assertNever(step);
  }
}

/** Its outcome comes with its end. */
function isJob(step: Step): boolean {
  return step.kind === "stop" || step.kind === "restart" || step.kind === "pull" || step.kind === "abort_pull";
}

import { assertNever } from "../../common/errors/assert-never.ts";
import { type LaneStep, laneOf, type Step, type StepOutcome } from "../plan/step.ts";
import type { JobBoard } from "./jobs.ts";

export type ExecuteContext = Readonly<{
  jobs: JobBoard;
  /** Asked before each step, also after the round: true ends a lane there. */
  isOver: () => boolean;
  onOutcome: (step: Step, outcome: StepOutcome) => void;
}>;

/**
 * Begins the steps of one round, and waits for none: their outcomes come from the jobs. Steps of the memory alone are
 * done at once.
 */
export function beginRound(steps: readonly Step[], { jobs, isOver, onOutcome }: ExecuteContext): void {
  const lanes = new Map<string, LaneStep[]>();
  for (const step of steps) {
    switch (step.kind) {
      case "pull":
        jobs.pull(step);
        break;
      case "join_pull":
        jobs.joinPull(step);
        break;
      case "abort_pull":
        jobs.abortPull(step.image);
        break;
      case "adopt":
      case "give_up_volumes":
      case "run_failed":
      case "forget_unit":
      case "prune_done":
        onOutcome(step, { kind: "done" });
        break;
      case "create_network":
      case "remove_network":
      case "create":
      case "connect":
      case "disconnect":
      case "start":
      case "rename":
      case "remove":
      case "remove_volume":
      case "unpause":
      case "inspect":
      case "stop":
      case "restart":
      case "remove_image":
        lanes.set(laneOf(step), [...(lanes.get(laneOf(step)) ?? []), step]);
        break;
      default:
        assertNever(step);
    }
  }
  for (const [lane, laneSteps] of lanes) jobs.work(lane, laneSteps, isOver);
}

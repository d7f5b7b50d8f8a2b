import type { Cause } from "../../common/desired/desired.ts";
import type { ProblemCode } from "../../common/insight/problems.ts";
import type { OwnedAppContainer, OwnedCronContainer } from "../observed/owned.ts";
import type { PullBytes } from "../runtime/pull-progress.ts";

/** The step that a target is at, or that failed, as reports name it. */
export type StepName =
  | "config"
  | "claim"
  | "name"
  | "ports"
  | "network"
  | "image"
  | "pull"
  | "create"
  | "connect"
  | "disconnect"
  | "rename"
  | "stop"
  | "start"
  | "restart"
  | "remove"
  | "remove_network"
  | "remove_volume"
  | "remove_image"
  | "inspect"
  | "health"
  | "paused"
  | "roll"
  | "run";

/** Where one app, one container or one cron_job stands. Times are milliseconds of the monotonic clock. */
export type TargetState = Readonly<
  | { kind: "applied" }
  /** With a cause if it continues only after a change that the device cannot make itself. */
  | ({ kind: "working"; step: StepName; tries?: number; retryAt?: number | undefined; pull?: PullBytes | undefined } & Partial<Cause>)
  | ({ kind: "failed"; step: StepName; tries: number; retryAt: number | undefined } & Cause)
>;

/** Why a container cannot be made or started now, and when to look again. */
export type Block = Readonly<{ cause: "claim" | "name" | "ports" | "network" | "failure"; state: TargetState; wakeAt: number | undefined }>;

export type AppState = Readonly<{
  name: string;
  revision: bigint;
  state: TargetState;
  notes: readonly string[];
  containers: readonly OwnedAppContainer[];
}>;

export type CronJobState = Readonly<{
  name: string;
  revision: bigint;
  state: TargetState;
  notes: readonly string[];
  containers: readonly OwnedCronContainer[];
  /** Why the last run failed or was skipped; undefined: it did not. */
  reason: string | undefined;
  /** Milliseconds since 1970. */
  lastRunDue: number | undefined;
  nextRunDue: number | undefined;
}>;

/** Something that is wrong with the device as a whole. */
export type DeviceProblem = Readonly<{ code: ProblemCode; message: string }>;

export type DeviceStates = Readonly<{
  apps: readonly AppState[];
  cronJobs: readonly CronJobState[];
  problems: readonly DeviceProblem[];
}>;

export const APPLIED: TargetState = { kind: "applied" };

export function working(
  step: StepName,
  why: Partial<Cause> & Readonly<{ tries?: number; retryAt?: number | undefined; pull?: PullBytes | undefined }> = {},
): TargetState {
  return { kind: "working", step, ...why };
}

export function failed(
  step: StepName,
  { code, reason }: Cause,
  { tries = 1, retryAt }: { tries?: number; retryAt?: number | undefined } = {},
): TargetState {
  return { kind: "failed", step, code, reason, tries, retryAt };
}

/** Of several states the one that says most: a failure, else work with a reason, else work, else that all is done. */
export function worst(states: readonly TargetState[]): TargetState {
  const explained = states.find((state) => state.kind === "working" && state.reason !== undefined);
  return states.find(({ kind }) => kind === "failed") ?? explained ?? states.find(({ kind }) => kind === "working") ?? APPLIED;
}

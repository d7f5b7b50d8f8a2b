import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { VERSION } from "../common/version.ts";
import { type Report, ReportSchema, TargetState } from "../gen/nebula/v1/report_pb.ts";
import type { Applied, PruneMark } from "./memory.ts";
import type { Desired, Now } from "./model.ts";
import type { DeviceProblem, DeviceStates } from "./plan/states.ts";
import type { ContainerStats } from "./runtime/container-runtime.ts";
import { appStatus, cronJobStatus, deviceState, isBlocking, problemStatus } from "./status.ts";

export type ReportParts = Readonly<{
  deviceId: string;
  deviceGroup: string;
  boot: string;
  instance: string;
  /** Milliseconds since 1970. */
  startedAt: number;
  /** Of the newest config received; empty: none. */
  etag: string;
  /** Whether the states are about that config; otherwise the device only just has it. */
  isPlanned: boolean;
  desired: Desired | undefined;
  /** The newest that is known, also while the engine is away. */
  states: DeviceStates | undefined;
  applied: Applied["revisions"];
  pruned: PruneMark | undefined;
  /** What is wrong with the worker itself, beside what the plan found. */
  problems: readonly DeviceProblem[];
  stats: ReadonlyMap<string, ContainerStats>;
  now: Now;
}>;

/** A report of what is known now; seq, created_at and the host's figures come when it is sent. */
export function composeReport(parts: ReportParts): Report {
  const { desired, states, applied, now, stats } = parts;
  const problems = [...(states?.problems ?? []), ...parts.problems];
  const apps = states?.apps ?? [];
  const cronJobs = states?.cronJobs ?? [];
  const context = { applied, now, stats };
  return create(ReportSchema, {
    deviceId: parts.deviceId,
    deviceGroup: parts.deviceGroup,
    boot: parts.boot,
    workerVersion: VERSION,
    instance: parts.instance,
    ...(desired !== undefined && { cluster: { id: desired.cluster.id, epoch: desired.cluster.epoch } }),
    etag: parts.etag,
    state: wholeState(parts, problems),
    groupRevision: desired?.groupRevision ?? 0n,
    pruneId: parts.pruned?.pruneId ?? 0n,
    apps: apps.map((app) => appStatus(app, context)),
    cronJobs: cronJobs.map((job) => cronJobStatus(job, context)),
    problems: problems.map(problemStatus),
    startedAt: timestampFromMs(parts.startedAt),
  });
}

function wholeState({ desired, states, isPlanned }: ReportParts, problems: readonly DeviceProblem[]): TargetState {
  if (problems.some(isBlocking)) return TargetState.FAILED;
  return desired === undefined || states === undefined || !isPlanned ? TargetState.WORKING : deviceState(states);
}

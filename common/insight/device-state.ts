/**
 * Where a device stands with a change: the one table of all kinds of targets and of all that is done to them. Against a list of targets, the first that holds:
 *
 * D1 applied: every target is at its revision or a newer one, and as wanted.
 * D2 failed: the newest report answers a target, that is it knows its revision or a newer one, and has a code for it (from an older worker: the state failed).
 *    A stale image is not a failure: the container runs, and the image is pulled again.
 * D3 offline: no watch is open.
 * D4 working: the newest report answers a target.
 * D5 waiting: anything else.
 */
import type { DeviceConnection, DeviceSummary, TargetSummary } from "../../gen/nebula/v1/device_pb.ts";
import { ConnectionState, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { FailureCode, StepKind, TargetState } from "../../gen/nebula/v1/report_pb.ts";

export type DeviceState = "applied" | "failed" | "offline" | "working" | "waiting";

export const DEVICE_STATES: readonly DeviceState[] = ["applied", "failed", "offline", "working", "waiting"];

/** An app or cron_job of a device_group. */
export type Member = Readonly<{ kind: typeof TargetKind.APP | typeof TargetKind.CRON_JOB; name: string }>;

/** The change that devices are to follow. */
export type Target = Readonly<{ name: string; revision: bigint }> &
  Readonly<
    /** Created, updated, started or restarted; or a tombstone. */
    | { kind: typeof TargetKind.APP | typeof TargetKind.CRON_JOB; verb: "update" | "delete" }
    | { kind: typeof TargetKind.APP; verb: "stop" }
    | { kind: typeof TargetKind.DEVICE_GROUP; verb: "update"; added: readonly Member[]; removed: readonly Member[] }
    /** Its devices keep what they run. */
    | { kind: typeof TargetKind.DEVICE_GROUP; verb: "delete" }
    | { kind: typeof TargetKind.DEVICE_GROUP; verb: "prune"; pruneId: bigint }
  >;

/** Whether a target asks nothing of devices: each has applied it, also while it is offline. */
export function isKept(target: Target): boolean {
  return target.kind === TargetKind.DEVICE_GROUP && target.verb === "delete";
}

/** A device as far as this matters: of one that never reported there is no summary. */
export type Standing = Readonly<{ summary: DeviceSummary | undefined; connection: DeviceConnection }>;

/** The state, and what it is about where that is known. */
export type StateOfDevice = Readonly<{
  state: DeviceState;
  /** Of one that failed, or works: the first target that did not end, or a member that it waits for. */
  about: Readonly<{ kind: TargetKind; name: string }> | undefined;
  code: FailureCode;
  step: StepKind;
}>;

/** The problem of a device whose prune failed. */
const PRUNE_FAILED = "prune_failed";

export function isOnline({ connection }: Standing): boolean {
  return connection.state === ConnectionState.ONLINE;
}

/** Returns where the device stands with the targets of its group. Without a target it has applied all. */
export function stateOfDevice(device: Standing, targets: readonly Target[]): StateOfDevice {
  const known = knownTargets(device.summary, targets);
  let areApplied = true;
  let isAnswered = false;
  let failure: About | undefined;
  let progress: About | undefined;
  // of an app or cron_job that is applied or not answered nothing is made: streams look so at each device that reports, as it was and as it is
  for (const target of targets) {
    const one = standingWith(device.summary, known, target);
    if (one.answered) isAnswered = true;
    if (one.applied) continue;
    areApplied = false;
    failure ??= one.failure;
    if (one.answered) progress ??= one.progress;
  }
  if (areApplied) return plain("applied"); // D1
  if (failure !== undefined) return { state: "failed", ...NOTHING, ...failure }; // D2
  if (!isOnline(device)) return plain("offline"); // D3
  return isAnswered ? { state: "working", ...NOTHING, ...progress } : plain("waiting"); // D4, D5
}

type Named = Readonly<{ kind: TargetKind; name: string }>;
/** The targets that a device reports, by kind and name where very many are looked up. */
type Known = readonly TargetSummary[] | ReadonlyMap<string, TargetSummary>;

/** From this number of lookups on an index is made of what a device reports. */
const INDEXED_FROM = 8;
const NO_TARGETS: readonly TargetSummary[] = [];

function knownTargets(summary: DeviceSummary | undefined, targets: readonly Target[]): Known {
  const known = summary?.targets ?? NO_TARGETS;
  let lookups = 0;
  for (const target of targets) lookups += "added" in target ? target.added.length + target.removed.length : 1;
  return lookups < INDEXED_FROM ? known : new Map(known.map((target) => [indexKey(target), target]));
}

function find(known: Known, named: Named): TargetSummary | undefined {
  if ("get" in known) return known.get(indexKey(named));
  for (const target of known) if (target.kind === named.kind && target.name === named.name) return target;
  return undefined;
}

function indexKey({ kind, name }: Named): string {
  return `${kind}/${name}`;
}

type About = Readonly<Partial<Pick<StateOfDevice, "about" | "code" | "step">>>;

/** Where a device stands with one target. `failure` and `progress` count where that is answered and not applied. */
type WithTarget = Readonly<{ applied: boolean; answered: boolean; failure?: About | undefined; progress?: About }>;

const APPLIED: WithTarget = { applied: true, answered: true };
const UNANSWERED: WithTarget = { applied: false, answered: false };
const APPLIED_UNANSWERED: WithTarget = { applied: true, answered: false };

const NOTHING = { about: undefined, code: FailureCode.UNSPECIFIED, step: StepKind.UNSPECIFIED };

function plain(state: "applied" | "offline" | "waiting"): StateOfDevice {
  return PLAIN[state];
}

const PLAIN = {
  applied: { state: "applied", ...NOTHING },
  offline: { state: "offline", ...NOTHING },
  waiting: { state: "waiting", ...NOTHING },
} as const;

function standingWith(summary: DeviceSummary | undefined, known: Known, target: Target): WithTarget {
  if (summary === undefined) return isKept(target) ? APPLIED_UNANSWERED : UNANSWERED;
  if (target.kind !== TargetKind.DEVICE_GROUP) return withEntity(find(known, target), target);
  const answered = summary.groupRevision >= target.revision;
  if (target.verb === "delete") return answered ? APPLIED : APPLIED_UNANSWERED;
  if (target.verb === "prune") {
    const failure = answered && summary.problems.includes(PRUNE_FAILED) ? { about: target, code: FailureCode.OTHER } : undefined;
    return { applied: summary.pruneId >= target.pruneId, answered, failure, progress: { about: target } };
  }
  if (!answered) return UNANSWERED;
  const missing = target.added.filter((member) => !isRunAsWanted(find(known, member)));
  const left = target.removed.filter((member) => !isGone(find(known, member)));
  if (missing.length + left.length === 0) return APPLIED;
  const open = [...missing, ...left].flatMap((member) => find(known, member) ?? []);
  const [first] = open;
  const failure = open.map(failureOf).find((about) => about !== undefined);
  return { applied: false, answered, failure, progress: first === undefined ? { about: target } : aboutOf(first) };
}

type Entity = Target & { kind: typeof TargetKind.APP | typeof TargetKind.CRON_JOB };

function withEntity(known: TargetSummary | undefined, target: Entity): WithTarget {
  const answered = known !== undefined && known.revision >= target.revision;
  if (isApplied(known, target)) return answered ? APPLIED : APPLIED_UNANSWERED;
  return answered ? { applied: false, answered, failure: failureOf(known), progress: aboutOf(known) } : UNANSWERED;
}

function isApplied(known: TargetSummary | undefined, target: Entity): boolean {
  if (known === undefined) return target.verb === "delete"; // none is left, and none is to come
  if (target.verb === "update" || known.revision > target.revision) return known.appliedRevision >= target.revision && isAsWanted(known);
  return known.revision === target.revision && known.containers === 0;
}

/** An app is as its newest known revision wants it; the schedule of a cron_job is in force, however its last run ended. */
function isAsWanted({ kind, state, revision, appliedRevision }: TargetSummary): boolean {
  return kind === TargetKind.CRON_JOB ? appliedRevision >= revision : state === TargetState.APPLIED;
}

/** Of a member that a group gained: at any revision. */
function isRunAsWanted(known: TargetSummary | undefined): boolean {
  return known !== undefined && isAsWanted(known);
}

function isGone(known: TargetSummary | undefined): boolean {
  return known === undefined || known.containers === 0;
}

function failureOf(known: TargetSummary): About | undefined {
  const { failureCode, state } = known;
  const hasCode = failureCode !== FailureCode.UNSPECIFIED && failureCode !== FailureCode.IMAGE_STALE;
  return hasCode || state === TargetState.FAILED ? aboutOf(known) : undefined;
}

function aboutOf({ kind, name, failureCode: code, stepKind: step }: TargetSummary): About {
  return { about: { kind, name }, code, step };
}

/**
 * The way of a change to the containers of one device: desired -> connected -> delivered -> applied -> containers, and where it is stuck.
 *
 * E1 A target that is as wanted is stuck nowhere, also where something else is wrong with its device.
 * E2 No time of a device's clock is used: durations of the device are counted on from `received_at`, by the servers' clocks.
 * E3 A place has advice, unless it is nowhere.
 * E4 Nobody knows what an offline device does: its time in a step ends where it was seen last, and since when it is offline is said beside.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { ConnectionState, type Device, type DeviceConnection, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import {
  type ExplainedProblemSchema,
  type Explanation,
  ExplanationSchema,
  StuckAt,
  type TargetExplanation,
  TargetExplanationSchema,
} from "../../gen/nebula/v1/explain_pb.ts";
import {
  type AppStatus,
  type CronJobStatus,
  FailureCode,
  type Report,
  StepKind,
  StepKindSchema,
  TargetState,
} from "../../gen/nebula/v1/report_pb.ts";
import { ORIGINAL_BOOT } from "../storage/device-summary.ts";
import { type AdviceSubject, failureAdvice, type GivenAdvice, placeAdvice, problemAdvice, stoppedAdvice } from "./advice.ts";
import type { DesiredEntity } from "./desired-revision.ts";
import { DUPLICATE_ID, isBlocking, knownProblem } from "./problems.ts";

/** An app or cron_job that the group names, that the device still has, or that was asked for. */
export type TargetToExplain = Readonly<{
  kind: "app" | "cron_job";
  name: string;
  inGroup: boolean;
  /** undefined: none of that name exists or existed. */
  desired: DesiredEntity | undefined;
}>;

/** The newest config of the group: what its devices get. */
export type NewestConfig = Readonly<
  | {
      kind: "config";
      etag: string;
      /** Of each member, by `kind/name`. */
      revisions: ReadonlyMap<string, bigint>;
    }
  /** A config that cannot be made. */
  | { kind: "fault"; reason: string }
  | { kind: "no_such_group" }
>;

export type ExplainInput = Readonly<{
  deviceId: string;
  deviceGroup: string;
  /** undefined: none of that name exists or existed. */
  group: DesiredEntity | undefined;
  newest: NewestConfig;
  /** Names of the group's members; none where there is no group. */
  members: Readonly<{ app: readonly string[]; cron_job: readonly string[] }>;
  /** Its newest status; undefined: it never reported. */
  device: Device | undefined;
  /** undefined: not known. */
  connection: DeviceConnection | undefined;
  /** When the first report with the newest config was received, milliseconds since 1970; undefined: not known. */
  deliveredAt: number | undefined;
  targets: readonly TargetToExplain[];
  /** Members that the caller may not read. */
  hiddenTargets: number;
  /** Milliseconds since 1970, by a server's clock. */
  now: number;
}>;

const MOST_TARGETS = 100;
/** The most members that a command of an advice lists. */
const MOST_MEMBERS = 20;

/** Explains a device and its targets; those that are stuck come first, at most MOST_TARGETS. */
export function explain(input: ExplainInput): Explanation {
  const { deviceId, deviceGroup, device, newest, connection, now } = input;
  const report = device?.report;
  const facts: Facts = { ...input, report, isDelivered: isDelivered(input), problems: problemsOf(input) };
  const place = devicePlace(facts);
  const targets = input.targets.map((target) => explainTarget(target, place, facts)).sort((a, b) => rank(a) - rank(b));
  return create(ExplanationSchema, {
    deviceId,
    deviceGroup,
    ...(input.group !== undefined && { group: input.group.revision }),
    ...(connection !== undefined && connection.state !== ConnectionState.UNSPECIFIED && { connection }),
    original: report?.boot === ORIGINAL_BOOT,
    ...(report?.receivedAt !== undefined && { lastReportAt: report.receivedAt }),
    newestEtag: newest.kind === "config" ? newest.etag : "",
    deviceEtag: report?.etag ?? "",
    delivered: facts.isDelivered,
    ...(facts.isDelivered && input.deliveredAt !== undefined && { deliveredAt: timestampFromMs(input.deliveredAt) }),
    configFault: newest.kind === "fault" ? newest.reason : "",
    problems: facts.problems,
    stuckAt: place,
    ...durationField(deviceStuckSince(place, facts), now),
    advice: deviceAdvice(place, facts),
    targets: targets.slice(0, MOST_TARGETS),
    moreTargets: Math.max(0, targets.length - MOST_TARGETS),
    hiddenTargets: input.hiddenTargets,
    explainedAt: timestampFromMs(now),
  });
}

type Problems = Exclude<MessageInitShape<typeof ExplainedProblemSchema>, { $typeName: string }>[];

type Facts = ExplainInput & Readonly<{ report: Report | undefined; isDelivered: boolean; problems: Problems }>;

/** Stuck ones first, otherwise in the order in which they were given: a sort keeps it. */
function rank({ stuckAt }: TargetExplanation): number {
  return stuckAt === StuckAt.NOWHERE ? 1 : 0;
}

// --- the device as a whole

/** Whether the device has reported the etag of the newest config, or, where it has none, the revisions of it. */
function isDelivered({ newest, device, group }: ExplainInput): boolean {
  const report = device?.report;
  if (report === undefined || newest.kind !== "config") return false;
  if (report.etag !== "") return report.etag === newest.etag;
  if (report.groupRevision < (group?.revision.revision ?? 0n)) return false;
  const known = knownRevisions(report);
  return [...newest.revisions].every(([target, revision]) => (known.get(target) ?? 0n) >= revision);
}

function knownRevisions({ apps, cronJobs }: Report): ReadonlyMap<string, bigint> {
  return new Map([
    ...apps.map(({ name, revision }) => [`app/${name}`, revision] as const),
    ...cronJobs.map(({ name, revision }) => [`cron_job/${name}`, revision] as const),
  ]);
}

function problemsOf(input: ExplainInput): Problems {
  const { device } = input;
  const reported = device?.report?.problems ?? [];
  const duplicate = device?.duplicateId ? [{ code: DUPLICATE_ID, message: "two workers report under this device id" }] : [];
  return [...duplicate, ...reported].map((problem) => ({
    problem,
    blocking: isBlocking(problem.code),
    advice: problemAdvice(knownProblem(problem.code), deviceSubject(input)),
  }));
}

function devicePlace({ newest, connection, report, isDelivered, problems }: Facts): StuckAt {
  if (newest.kind === "no_such_group") return StuckAt.NO_GROUP;
  const state = connection?.state ?? ConnectionState.UNSPECIFIED;
  const wasConnected = connection?.since !== undefined;
  if (report === undefined && state !== ConnectionState.ONLINE) return wasConnected ? StuckAt.OFFLINE : StuckAt.NEVER_CONNECTED;
  if (newest.kind === "fault") return StuckAt.CONFIG;
  if (report === undefined) return StuckAt.NEVER_REPORTED;
  if (state === ConnectionState.OFFLINE) return StuckAt.OFFLINE;
  if (problems.some(({ blocking }) => blocking)) return StuckAt.DEVICE;
  return isDelivered ? StuckAt.NOWHERE : StuckAt.DELIVERY;
}

/** Since when, milliseconds since 1970; undefined: not known. */
function deviceStuckSince(place: StuckAt, { connection, group, targets }: Facts): number | undefined {
  switch (place) {
    case StuckAt.NO_GROUP:
      return changedAt(group);
    case StuckAt.OFFLINE:
    case StuckAt.NEVER_REPORTED:
      return ms(connection?.since);
    case StuckAt.DELIVERY: {
      const changes = [group, ...targets.map(({ desired }) => desired)].map(changedAt).filter((at) => at !== undefined);
      return changes.length === 0 ? undefined : Math.max(...changes);
    }
    default:
      return undefined;
  }
}

function deviceAdvice(place: StuckAt, facts: Facts): GivenAdvice[] {
  return place === StuckAt.DEVICE ? blockingAdvice(facts) : placeAdvice(place, deviceSubject(facts));
}

function blockingAdvice({ problems }: Facts): GivenAdvice[] {
  return problems.filter(({ blocking }) => blocking).flatMap(({ advice = [] }) => advice.map(({ text = "", command = "" }) => ({ text, command })));
}

// --- one target

type Status = AppStatus | CronJobStatus;

function explainTarget(target: TargetToExplain, device: StuckAt, facts: Facts): TargetExplanation {
  const { kind, name, inGroup, desired } = target;
  const { report, now } = facts;
  const status = statusOf(target, report);
  const place = targetPlace(target, status, device, facts);
  const app = status?.$typeName === "nebula.v1.AppStatus" ? status : undefined;
  return create(TargetExplanationSchema, {
    kind: kind === "app" ? TargetKind.APP : TargetKind.CRON_JOB,
    name,
    ...(desired !== undefined && { desired: desired.revision }),
    inGroup,
    knownRevision: status?.revision ?? 0n,
    appliedRevision: status?.appliedRevision ?? 0n,
    state: status?.state ?? TargetState.UNSPECIFIED,
    stuckAt: place,
    ...durationField(targetStuckSince(place, target, status, facts), stuckUntil(place, facts)),
    failureCode: status?.failureCode ?? FailureCode.UNSPECIFIED,
    stepKind: status?.stepKind ?? StepKind.UNSPECIFIED,
    step: app?.step ?? stepWord(status?.stepKind),
    reason: status?.reason ?? "",
    tries: app?.tries ?? 0,
    ...(app?.retryInMs !== undefined && { retryInMs: later(app.retryInMs, report, now) }),
    ...(app?.pull !== undefined && { pull: app.pull }),
    containers: status?.containers ?? [],
    notes: status?.notes ?? [],
    advice: targetAdvice(place, target, status, facts),
  });
}

function stepWord(kind: StepKind | undefined): string {
  if (kind === undefined || kind === StepKind.UNSPECIFIED) return "";
  return StepKindSchema.value[kind]?.localName.toLowerCase() ?? "";
}

/** Returns the rest of a wait that the report began, milliseconds from now (E2). */
function later(inMs: bigint, report: Report | undefined, now: number): bigint {
  return BigInt(Math.max(0, Math.round(Number(inMs) - sinceReport(report, now))));
}

function statusOf({ kind, name }: TargetToExplain, report: Report | undefined): Status | undefined {
  const all: readonly Status[] = (kind === "app" ? report?.apps : report?.cronJobs) ?? [];
  return all.find((status) => status.name === name);
}

function targetPlace(target: TargetToExplain, status: Status | undefined, device: StuckAt, facts: Facts): StuckAt {
  if (device === StuckAt.NO_GROUP) return device;
  const { revision, deleted } = target.desired?.revision ?? { revision: 0n, deleted: true };
  const isGone = status?.state === TargetState.APPLIED && status.containers.length === 0;
  if (!target.inGroup && (status === undefined || (isGone && facts.isDelivered))) return StuckAt.NOT_IN_GROUP;
  const answers = status !== undefined && (target.inGroup ? status.revision >= revision : facts.isDelivered);
  if (target.inGroup && deleted && answers && isGone) return StuckAt.NO_TARGET;
  if (target.inGroup && answers && isAsWanted(target, status)) return StuckAt.NOWHERE; // E1
  const isCurrent = device === StuckAt.NOWHERE || device === StuckAt.OFFLINE || device === StuckAt.DELIVERY;
  if (answers && status.state === TargetState.FAILED && isCurrent) return isApplied(target, status) ? StuckAt.CONTAINERS : StuckAt.STEP;
  if (device !== StuckAt.NOWHERE && !(device === StuckAt.DELIVERY && answers)) return device;
  return answers && isApplied(target, status) ? StuckAt.CONTAINERS : StuckAt.WORKING;
}

/** Whether the revision was applied once, to containers that are to run. */
function isApplied({ inGroup, desired }: TargetToExplain, { appliedRevision }: Status): boolean {
  return inGroup && desired?.revision.running === true && !desired.revision.deleted && appliedRevision >= desired.revision.revision;
}

function isAsWanted({ desired }: TargetToExplain, { state, appliedRevision, containers }: Status): boolean {
  if (state !== TargetState.APPLIED || desired === undefined) return false;
  const { revision, running, deleted } = desired.revision;
  return appliedRevision >= revision && (running || containers.length === 0) && !deleted;
}

/** Since when, milliseconds since 1970; undefined: not known. */
function targetStuckSince(place: StuckAt, { desired }: TargetToExplain, status: Status | undefined, facts: Facts): number | undefined {
  switch (place) {
    case StuckAt.NO_TARGET:
    case StuckAt.DELIVERY:
      return changedAt(desired);
    case StuckAt.WORKING:
    case StuckAt.STEP:
    case StuckAt.CONTAINERS: {
      const received = ms(facts.report?.receivedAt);
      const isKnown = status !== undefined && (status.stateForMs > 0n || status.stepKind !== StepKind.UNSPECIFIED);
      return isKnown && received !== undefined ? received - Number(status.stateForMs) : undefined; // E2
    }
    case StuckAt.NO_GROUP:
    case StuckAt.OFFLINE:
    case StuckAt.NEVER_REPORTED:
      return deviceStuckSince(place, facts);
    default:
      return undefined;
  }
}

/** E4, milliseconds since 1970. */
function stuckUntil(place: StuckAt, { connection, report, now }: Facts): number {
  const isOffline = connection?.state === ConnectionState.OFFLINE;
  if (!isOffline || place === StuckAt.OFFLINE || place === StuckAt.NO_GROUP || place === StuckAt.NO_TARGET) return now;
  return Math.max(ms(connection.since) ?? 0, ms(report?.receivedAt) ?? 0);
}

/** E3 */
function targetAdvice(place: StuckAt, target: TargetToExplain, status: Status | undefined, facts: Facts): GivenAdvice[] {
  const subject = subjectOf(target, status, facts);
  const code = status?.failureCode ?? FailureCode.UNSPECIFIED;
  const ofPlace = placeAdvice(place, subject);
  switch (place) {
    case StuckAt.NOWHERE:
      return target.desired?.revision.running === false ? stoppedAdvice(subject) : [];
    case StuckAt.DEVICE:
      return blockingAdvice(facts);
    case StuckAt.WORKING:
    case StuckAt.STEP:
    case StuckAt.CONTAINERS: {
      const isOffline = facts.connection?.state === ConnectionState.OFFLINE;
      const ofCode = code === FailureCode.UNSPECIFIED ? ofPlace : failureAdvice(code, subject);
      return [...(isOffline ? placeAdvice(StuckAt.OFFLINE, subject) : []), ...ofCode];
    }
    default:
      return ofPlace;
  }
}

function subjectOf({ kind, name, desired }: TargetToExplain, status: Status | undefined, { deviceId, deviceGroup, members }: Facts): AdviceSubject {
  const others = members[kind].filter((member) => member !== name);
  return {
    deviceId,
    deviceGroup,
    kind,
    name,
    image: desired?.image,
    container: status?.containers.at(-1)?.name,
    containerPort: desired?.containerPort,
    otherMembers: others.length > MOST_MEMBERS ? undefined : others,
  };
}

/** The device as a whole has no app to name. */
function deviceSubject({ deviceId, deviceGroup }: ExplainInput): AdviceSubject {
  return { deviceId, deviceGroup, kind: "app", name: "APP" };
}

// --- times, milliseconds

function ms(at: Timestamp | undefined): number | undefined {
  return at === undefined ? undefined : timestampMs(at);
}

function changedAt(entity: DesiredEntity | undefined): number | undefined {
  return ms(entity?.revision.lastChange?.at);
}

function sinceReport(report: Report | undefined, now: number): number {
  return now - (ms(report?.receivedAt) ?? now);
}

function durationField(since: number | undefined, until: number): { stuckForMs?: bigint } {
  return since === undefined ? {} : { stuckForMs: BigInt(Math.max(0, Math.round(until - since))) };
}

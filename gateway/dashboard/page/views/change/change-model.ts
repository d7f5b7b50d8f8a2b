/** The content of the page of a change. Pure. */
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { OLDER_FAILURES } from "../../../../../common/insight/failed-devices.ts";
import {
  applyNumbers,
  applySummary,
  askNothing,
  deviceReason,
  type Followed,
  failureWord,
  supersededText,
} from "../../../../../common/insight/text/apply-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { fieldLines } from "../../../../../common/resources/field-changes.ts";
import { entityKindOf } from "../../../../../common/resources/target-kind.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import { type ApplyMember, type ApplyTarget, ApplyTargetSchema, ApplyVerb, type WatchApplyResponse } from "../../../../../gen/nebula/v1/apply_pb.ts";
import type { DeviceGroup } from "../../../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { type Revision, RevisionAction, RevisionActionSchema } from "../../../../../gen/nebula/v1/history_pb.ts";
import { FailureCodeSchema } from "../../../../../gen/nebula/v1/report_pb.ts";
import { type DevicesFilter, devicesAddress, targetText } from "../../addresses/devices-filter.ts";
import { changeAddress, deviceAddress } from "../../addresses/entity-addresses.ts";

// --- the revision

export type ChangeHead = Readonly<{
  action: string;
  by: string;
  /** Milliseconds since 1970. */
  at: number | undefined;
  /** The address of the revision before. */
  before: string | undefined;
}>;

export function changeHead({ kind, name, action, change, previousRevision }: Revision): ChangeHead {
  const word = entityKindOf(kind);
  return {
    action: enumWord(RevisionActionSchema, action) || "change",
    by: printableLine(change?.by ?? ""),
    at: change?.at === undefined ? undefined : timestampMs(change.at),
    before: word === undefined || previousRevision === 0n ? undefined : changeAddress({ kind: word, name, revision: previousRevision }),
  };
}

/** A field that differs from the revision before, and its change, a line each. */
export type Difference = Readonly<{ field: string; lines: readonly string[] }>;

export function differencesOf({ differences }: Revision): readonly Difference[] {
  return differences.map((difference) => ({ field: difference.field, lines: fieldLines(difference).map(([, line]) => printableLine(line)) }));
}

/** Returns the target that WatchApply follows for a revision. @param before the revision before, of a device_group */
export function followedOf({ kind, name, revision, action, body }: Revision, before: Revision | undefined): ApplyTarget {
  const target = create(ApplyTargetSchema, { kind, name, revision, verb: ApplyVerb.UPDATE });
  if (body.case === undefined) return { ...target, verb: ApplyVerb.DELETE };
  if (body.case === "app" && body.value.running === false) return { ...target, verb: ApplyVerb.STOP };
  if (body.case !== "deviceGroup") return target;
  if (action === RevisionAction.PRUNE) return { ...target, verb: ApplyVerb.PRUNE, pruneId: body.value.pruneId };
  const is = membersOf(body.value);
  const was = before?.body.case === "deviceGroup" ? membersOf(before.body.value) : [];
  return { ...target, added: without(is, was), removed: without(was, is) };
}

function membersOf({ apps, cronJobs }: DeviceGroup): ApplyMember[] {
  const member = (kind: TargetKind) => (name: string) => ({ $typeName: "nebula.v1.ApplyMember" as const, kind, name });
  return [...apps.map(member(TargetKind.APP)), ...cronJobs.map(member(TargetKind.CRON_JOB))];
}

function without(members: readonly ApplyMember[], others: readonly ApplyMember[]): ApplyMember[] {
  return members.filter(({ kind, name }) => !others.some((other) => other.kind === kind && other.name === name));
}

// --- its way to the devices

/** `moving`: online devices work or wait; `nothing-asked`: devices keep what they run; the others are the verdicts of `apply --wait`. */
export type Verdict = "moving" | "applied" | "failed" | "none-online" | "no-devices" | "nothing-asked";

export type ChangeProgress = Readonly<{
  verdict: Verdict;
  /** In one sentence, as `nebulactl apply --wait` ends. */
  summary: string;
  devices: bigint;
  applied: bigint;
  /** In the order of a bar. */
  parts: readonly Readonly<{ state: string; word: string; count: bigint; to: string | undefined }>[];
  /** Where all are listed. */
  to: string | undefined;
  failures: readonly FailureGroup[];
  /** That devices may be named which failed no more; undefined: none is. */
  olderFailures: string | undefined;
  superseded: readonly Readonly<{ text: string; to: string | undefined }>[];
}>;

/** Devices that failed with one code; not all of many are named. */
export type FailureGroup = Readonly<{
  code: string;
  count: bigint;
  /** Where all are listed; undefined: nowhere. */
  to: string | undefined;
  devices: readonly Readonly<{ key: string; id: string; group: string; reason: string; to: string }>[];
}>;

export function changeProgress(message: WatchApplyResponse, target: ApplyTarget): ChangeProgress {
  const { counts } = message;
  const followed: Followed = target;
  const kind = entityKindOf(target.kind);
  const listed = (filter: DevicesFilter): string | undefined =>
    kind && devicesAddress({ target: targetText({ kind, name: target.name, revision: target.revision }), ...filter });
  const listedUnder = (code: string) => (code === "" ? undefined : listed({ standing: "failed", code }));
  const parts = (["applied", "working", "waiting", "failed", "offline"] as const).map((state) => ({
    state,
    word: state,
    count: counts?.[state] ?? 0n,
    to: listed({ standing: state }),
  }));
  return {
    verdict: verdictOf(message, followed),
    summary: printableLine(applySummary(message, [followed], 0)),
    devices: counts?.devices ?? 0n,
    applied: counts?.applied ?? 0n,
    parts,
    to: listed({}),
    failures: message.failures.map(({ failureCode, devices }) => ({
      code: failureWord(failureCode),
      count: devices,
      to: listedUnder(enumWord(FailureCodeSchema, failureCode)),
      devices: message.changed
        .filter((device) => device.failureCode === failureCode)
        .map((device) => ({
          key: `${device.deviceGroup}/${device.deviceId}`,
          id: printableLine(device.deviceId),
          group: printableLine(device.deviceGroup),
          reason: printableLine(deviceReason(device)),
          to: deviceAddress(device.deviceId),
        })),
    })),
    olderFailures: message.moreChanged.length > 0 ? OLDER_FAILURES : undefined,
    superseded: message.superseded.map((newer) => {
      const kind = entityKindOf(newer.kind);
      const to = kind === undefined ? undefined : changeAddress({ kind, name: newer.name, revision: newer.revision });
      return { text: printableLine(supersededText(newer)), to };
    }),
  };
}

/** As the server decides it: a stream that stays open has none of its own. */
function verdictOf(message: WatchApplyResponse, followed: Followed): Verdict {
  const { devices, working, waiting, online, failed } = applyNumbers(message);
  if (devices === 0) return "no-devices";
  if (askNothing([followed])) return "nothing-asked";
  if (working + waiting > 0) return "moving";
  if (online === 0) return "none-online";
  return failed > 0 ? "failed" : "applied";
}

// --- the devices that applied it, over the time that its page is open

export type Sample = Readonly<{ atMs: number; applied: number; devices: number }>;

/** Samples that are kept: of more every second one goes. */
const MOST_SAMPLES = 400;

/** Adds what was just read. Of a level that lasts the first and the newest sample are kept. */
export function addSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const [before, newest] = samples.slice(-2);
  const isLevel = before !== undefined && newest !== undefined && isEqual(before, newest) && isEqual(newest, sample);
  const next = [...(isLevel ? samples.slice(0, -1) : samples), sample];
  return next.length <= MOST_SAMPLES ? next : next.filter((_, index) => index === 0 || index % 2 === 1 || index === next.length - 1);
}

function isEqual(one: Sample, other: Sample): boolean {
  return one.applied === other.applied && one.devices === other.devices;
}

/** The points of the curve in a box, as SVG writes them: a step at each sample. Empty if there is no time between the samples yet. */
export function curvePoints(samples: readonly Sample[], width: number, height: number): string {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return "";
  const most = Math.max(1, ...samples.map(({ devices }) => devices));
  const point = (atMs: number, applied: number) => {
    const x = ((atMs - first.atMs) / (last.atMs - first.atMs)) * width;
    return `${x.toFixed(1)},${(height - (Math.min(applied, most) / most) * height).toFixed(1)}`;
  };
  return samples
    .flatMap(({ atMs, applied }, index) => {
      const before = samples[index - 1];
      return before === undefined || before.applied === applied ? [point(atMs, applied)] : [point(atMs, before.applied), point(atMs, applied)];
    })
    .join(" ");
}

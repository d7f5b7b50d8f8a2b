/** How a change reaches the devices, in words. */
import type { DescEnum, MessageInitShape } from "@bufbuild/protobuf";
import {
  type ApplyDevice,
  type ApplyTargetSchema,
  ApplyVerb,
  ApplyVerdict,
  type SupersededTarget,
  type WatchApplyResponse,
} from "../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, FailureCodeSchema, StepKind, StepKindSchema } from "../../../gen/nebula/v1/report_pb.ts";
import { entityKindOf } from "../../resources/target-kind.ts";
import { formatAge } from "../../text/age.ts";
import { counted } from "../../text/wording.ts";

/** A change that is followed; `before`: the revision that its target had. */
export type Followed = MessageInitShape<typeof ApplyTargetSchema> & Readonly<{ name: string; before?: bigint }>;

/** ApplyCounts as numbers. */
export type ApplyNumbers = Readonly<
  Record<"devices" | "applied" | "failed" | "offline" | "working" | "waiting" | "online" | "onlineApplied", number>
>;

/** The numbers of a message; zeros without one. */
export function applyNumbers(message: WatchApplyResponse | undefined): ApplyNumbers {
  const {
    devices = 0n,
    applied = 0n,
    failed = 0n,
    offline = 0n,
    working = 0n,
    waiting = 0n,
    online = 0n,
    onlineApplied = 0n,
  } = message?.counts ?? {};
  return {
    devices: Number(devices),
    applied: Number(applied),
    failed: Number(failed),
    offline: Number(offline),
    working: Number(working),
    waiting: Number(waiting),
    online: Number(online),
    onlineApplied: Number(onlineApplied),
  };
}

/** `web 41 -> 42`, or `3 changes`. */
export function applyTitle(message: WatchApplyResponse | undefined, followed: readonly Followed[]): string {
  const [only, ...more] = followed;
  if (only === undefined || more.length > 0) return `${followed.length} changes`;
  const revision = revisionOf(message, only);
  return `${only.name} ${only.before === undefined || only.before === 0n || only.before === revision ? "" : `${only.before} -> `}${revision}`;
}

/** How it stands, or ended, in one sentence. @param timeoutMs of the request */
export function applySummary(message: WatchApplyResponse | undefined, followed: readonly Followed[], timeoutMs: number): string {
  const { online, onlineApplied, devices, failed, offline, working, waiting } = applyNumbers(message);
  const unseen = Number(message?.unseenGroups ?? 0n);
  const hidden = unseen === 0 ? "" : `; and ${counted(unseen, "device_group")} that you may not see`;
  if (devices === 0) return `no device is reached${hidden === "" ? "" : hidden.replace("; and", " but those of")}`;
  if (askNothing(followed)) return `${devices === 1 ? "1 device keeps what it runs" : `${devices} devices keep what they run`}${hidden}`;
  const parts = [
    online === 0 ? `no device of ${devices} is online` : `${onlineApplied} of ${online} online devices ${doneText(message, followed)}`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(working > 0 ? [`${working} still ${working === 1 ? "works" : "work"} on it`] : []),
    ...(waiting > 0 ? [`${waiting} did not answer`] : []),
    ...(offline > 0 ? [`${offline} offline ${offline === 1 ? "gets it when it comes" : "get it when they come"} back`] : []),
  ];
  const late = message?.verdict === ApplyVerdict.UNFINISHED && timeoutMs > 0 ? ` (after ${formatAge(timeoutMs)})` : "";
  return `${parts.join("; ")}${late}${hidden}`;
}

/** Whether devices have nothing to do, as after the delete of their device_group. */
export function askNothing(followed: readonly Followed[]): boolean {
  return followed.length > 0 && followed.every(({ kind, verb }) => kind === TargetKind.DEVICE_GROUP && verb === ApplyVerb.DELETE);
}

function revisionOf(message: WatchApplyResponse | undefined, { revision }: Followed): bigint {
  return message?.revisions[0] ?? revision ?? 0n;
}

function doneText(message: WatchApplyResponse | undefined, followed: readonly Followed[]): string {
  const [only, ...more] = followed;
  if (only === undefined || more.length > 0) return "applied all of it";
  switch (only.verb) {
    case ApplyVerb.DELETE:
      return "removed it";
    case ApplyVerb.STOP:
      return "stopped it";
    case ApplyVerb.PRUNE:
      return "pruned";
    default:
      return `${only.kind === TargetKind.APP ? "run" : "are at"} revision ${revisionOf(message, only)} or newer`;
  }
}

export function supersededText({ kind, name, revision, by, deleted }: SupersededTarget): string {
  return `${entityKindOf(kind) ?? "target"} ${name} was ${deleted ? "deleted" : "changed again"} by ${by}: revision ${revision}`;
}

/** Why a device failed: in its own words, else the step and the code. */
export function deviceReason({ reason, stepKind, failureCode }: ApplyDevice): string {
  if (reason !== "") return reason;
  return [...(stepKind === StepKind.UNSPECIFIED ? [] : [valueWord(StepKindSchema, stepKind)]), failureWord(failureCode)].join(": ");
}

/** `no_space`, or `no code`. */
export function failureWord(code: FailureCode): string {
  return code === FailureCode.UNSPECIFIED ? "no code" : valueWord(FailureCodeSchema, code);
}

/** The word of a value; of one that a newer server added its number. */
export function valueWord(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName.toLowerCase() ?? String(value);
}

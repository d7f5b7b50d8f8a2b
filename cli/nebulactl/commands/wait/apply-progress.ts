import type { JsonObject } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { printableLine } from "../../../../common/printable.ts";
import { jsonNumber } from "../../../../common/resources/resource-fields.ts";
import { entityKindOf } from "../../../../common/resources/target-kind.ts";
import {
  type ApplyCodeCount,
  type ApplyDevice,
  ApplyVerb,
  ApplyVerdict,
  ApplyVerdictSchema,
  DeviceStanding,
  DeviceStandingSchema,
  type SupersededTarget,
  type WatchApplyResponse,
} from "../../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, FailureCodeSchema, StepKindSchema } from "../../../../gen/nebula/v1/report_pb.ts";
import { formatAge } from "../../output/age.ts";
import { cutToWidth, displayWidth } from "../../output/display-width.ts";
import type { Followed } from "./followed.ts";

/** Devices that failed, which are shown by name. */
const SHOWN = 10;
/** At most this number is kept, so that others take the place of those that recover. */
const KEPT = 200;
const BAR = 20;
/** Of the words of a device, characters. */
const LONGEST_REASON = 200;

/** How a change reaches the devices, as lines for a person. */
export class ApplyProgress {
  readonly #followed: readonly Followed[];
  readonly #timeoutMs: number;
  readonly #failed = new Map<string, ApplyDevice>();
  #message: WatchApplyResponse | undefined;

  constructor(followed: readonly Followed[], timeoutMs: number) {
    this.#followed = followed;
    this.#timeoutMs = timeoutMs;
  }

  /** The next message begins a stream. */
  forget(): void {
    this.#failed.clear();
  }

  take(message: WatchApplyResponse): void {
    this.#message = message;
    for (const device of message.changed) {
      const key = `${device.deviceGroup}/${device.deviceId}`;
      if (device.standing !== DeviceStanding.FAILED) this.#failed.delete(key);
      else if (this.#failed.has(key) || this.#failed.size < KEPT) this.#failed.set(key, device);
    }
  }

  /** The line with the numbers; where it is too wide, zeros are left out first, then the bar. @param columns undefined: of any width */
  line(elapsedMs: number, columns: number | undefined): string {
    const numbers = this.#numbers;
    const clock = `${Math.floor(elapsedMs / 60_000)}:${String(Math.floor(elapsedMs / 1000) % 60).padStart(2, "0")}`;
    const counts = (zeros: boolean) =>
      [
        `${numbers.applied}/${numbers.devices} applied`,
        ...(["working", "waiting", "failed", "offline"] as const).flatMap((state) =>
          zeros || numbers[state] > 0 ? [`${numbers[state]} ${state}`] : [],
        ),
      ].join("  ");
    const wanted = [
      [this.#title, counts(true), this.#bar, clock],
      [this.#title, counts(false), this.#bar, clock],
      [this.#title, counts(false), clock],
    ].map((parts) => parts.join("   ").replace(/ {3}(?=\d+:\d\d$)/, "  "));
    const fitting = columns === undefined ? wanted[0] : wanted.find((text) => displayWidth(text) <= columns);
    return fitting ?? cutToWidth(wanted.at(-1) ?? "", columns ?? 80);
  }

  /** The line, what supersedes the change, the first devices that failed, and of more of them numbers by code. */
  lines(elapsedMs: number, columns: number | undefined): string[] {
    const { failed } = this.#numbers;
    const devices = [...this.#failed.values()].slice(0, SHOWN);
    const width = Math.max(0, ...devices.map(({ deviceId }) => displayWidth(deviceId)));
    const more = failed > devices.length ? [`  ${failed} failed: ${this.#byCode}`] : [];
    const lines = [
      ...(this.#message?.superseded ?? []).map((target) => `  ${supersededText(target)}`),
      ...devices.map((device) => `  failed  ${device.deviceId.padEnd(width)}  ${reasonOf(device)}`),
      ...more,
    ].map((text) => printableLine(text));
    return [this.line(elapsedMs, columns), ...(columns === undefined ? lines : lines.map((text) => cutToWidth(text, columns)))];
  }

  /** How it ended, in one sentence. */
  summary(): string {
    const { online, onlineApplied, devices, failed, offline, working, waiting } = this.#numbers;
    const unseen = Number(this.#message?.unseenGroups ?? 0n);
    const hidden = unseen === 0 ? "" : `; and ${unseen} device_group${unseen === 1 ? "" : "s"} that you may not see`;
    if (devices === 0) return `no device is reached${hidden === "" ? "" : hidden.replace("; and", " but those of")}`;
    const parts = [
      online === 0 ? `no device of ${devices} is online` : `${onlineApplied} of ${online} online devices ${this.#done}`,
      ...(failed > 0 ? [`${failed} failed`] : []),
      ...(working > 0 ? [`${working} still ${working === 1 ? "works" : "work"} on it`] : []),
      ...(waiting > 0 ? [`${waiting} did not answer`] : []),
      ...(offline > 0 ? [`${offline} offline ${offline === 1 ? "gets it when it comes" : "get it when they come"} back`] : []),
    ];
    const late = this.#message?.verdict === ApplyVerdict.UNFINISHED && this.#timeoutMs > 0 ? ` (after ${formatAge(this.#timeoutMs)})` : "";
    return `${parts.join("; ")}${late}${hidden}`;
  }

  get #numbers() {
    const {
      devices = 0n,
      applied = 0n,
      failed = 0n,
      offline = 0n,
      working = 0n,
      waiting = 0n,
      online = 0n,
      onlineApplied = 0n,
    } = this.#message?.counts ?? {};
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

  /** `web 41 -> 42` */
  get #title(): string {
    const [only, ...more] = this.#followed;
    if (only === undefined || more.length > 0) return `${this.#followed.length} changes`;
    const revision = this.#revision;
    return `${only.name} ${only.before === undefined || only.before === 0n || only.before === revision ? "" : `${only.before} -> `}${revision}`;
  }

  get #revision(): bigint {
    return this.#message?.revisions[0] ?? this.#followed[0]?.revision ?? 0n;
  }

  get #done(): string {
    const [only, ...more] = this.#followed;
    if (only === undefined || more.length > 0) return "applied all of it";
    switch (only.verb) {
      case ApplyVerb.DELETE:
        return only.kind === TargetKind.DEVICE_GROUP ? "keep what they run" : "removed it";
      case ApplyVerb.STOP:
        return "stopped it";
      case ApplyVerb.PRUNE:
        return "pruned";
      default:
        return `${only.kind === TargetKind.APP ? "run" : "are at"} revision ${this.#revision} or newer`;
    }
  }

  get #bar(): string {
    const { applied, devices } = this.#numbers;
    const filled = devices === 0 ? 0 : Math.floor((applied / devices) * BAR);
    return `${"#".repeat(filled)}${"-".repeat(BAR - filled)}`;
  }

  get #byCode(): string {
    return (this.#message?.failures ?? []).map(({ failureCode, devices }) => `${devices} ${codeWord(failureCode)}`).join(", ");
  }
}

function supersededText({ kind, name, revision, by, deleted }: SupersededTarget): string {
  return `${entityKindOf(kind) ?? "target"} ${name} was ${deleted ? "deleted" : "changed again"} by ${by}: revision ${revision}`;
}

/** In the device's own words, else the step and the code. */
function reasonOf({ reason, stepKind, failureCode }: ApplyDevice): string {
  if (reason !== "") return cutToWidth(reason, LONGEST_REASON);
  const step = word(StepKindSchema.value[stepKind]?.localName, stepKind);
  return [...(step === "unspecified" ? [] : [step]), codeWord(failureCode)].join(": ");
}

function codeWord(code: FailureCode): string {
  return code === FailureCode.UNSPECIFIED ? "no code" : word(FailureCodeSchema.value[code]?.localName, code);
}

function word(name: string | undefined, number: number): string {
  return name?.toLowerCase() ?? String(number);
}

/** One message as a program reads it: enums in lower case, numbers as numbers. */
export function messageJson(message: WatchApplyResponse): JsonObject {
  const { counts, failures, changed, moreChanged, unseenGroups, groups, superseded, revisions, verdict } = message;
  const numbers = Object.entries(counts ?? {}).flatMap(([name, count]) =>
    typeof count === "bigint" ? [[snake(name), jsonNumber(count)] as const] : [],
  );
  const codes = (counted: readonly ApplyCodeCount[]) =>
    counted.map(({ standing, failureCode, devices }) => ({
      state: standingWord(standing),
      ...(failureCode === FailureCode.UNSPECIFIED ? {} : { code: codeWord(failureCode) }),
      devices: jsonNumber(devices),
    }));
  return {
    counts: Object.fromEntries(numbers),
    revisions: revisions.map(jsonNumber),
    failures: codes(failures),
    changed: changed.map(deviceJson),
    more_changed: codes(moreChanged),
    groups: jsonNumber(groups),
    unseen_groups: jsonNumber(unseenGroups),
    superseded: superseded.map(({ kind, name, revision, by, at, deleted }) => ({
      kind: entityKindOf(kind) ?? "",
      name,
      revision: jsonNumber(revision),
      by,
      ...(at === undefined ? {} : { at: timestampDate(at).toISOString() }),
      deleted,
    })),
    ...(verdict === ApplyVerdict.UNSPECIFIED ? {} : { verdict: word(ApplyVerdictSchema.value[verdict]?.localName, verdict) }),
  };
}

function deviceJson({ deviceId, deviceGroup, standing, kind, name, failureCode, stepKind, reason }: ApplyDevice): JsonObject {
  const step = word(StepKindSchema.value[stepKind]?.localName, stepKind);
  return {
    device_id: deviceId,
    device_group: deviceGroup,
    state: standingWord(standing),
    ...(name === "" ? {} : { kind: entityKindOf(kind) ?? "", name }),
    ...(failureCode === FailureCode.UNSPECIFIED ? {} : { code: codeWord(failureCode) }),
    ...(step === "unspecified" ? {} : { step }),
    ...(reason === "" ? {} : { reason }),
  };
}

/** A device that is not in the device_groups any more is `gone`. */
function standingWord(standing: DeviceStanding): string {
  return standing === DeviceStanding.UNSPECIFIED ? "gone" : word(DeviceStandingSchema.value[standing]?.localName, standing);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

import type { JsonObject } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { FailedDevices, OLDER_FAILURES } from "../../../../common/insight/failed-devices.ts";
import {
  type ApplyNumbers,
  applyNumbers,
  applySummary,
  applyTitle,
  deviceReason,
  type Followed,
  failureWord,
  supersededText,
  valueWord,
} from "../../../../common/insight/text/apply-text.ts";
import { printableLine } from "../../../../common/printable.ts";
import { jsonNumber } from "../../../../common/resources/resource-fields.ts";
import { entityKindOf } from "../../../../common/resources/target-kind.ts";
import {
  type ApplyCodeCount,
  type ApplyDevice,
  ApplyVerdict,
  ApplyVerdictSchema,
  DeviceStanding,
  DeviceStandingSchema,
  type WatchApplyResponse,
} from "../../../../gen/nebula/v1/apply_pb.ts";
import { FailureCode, StepKind, StepKindSchema } from "../../../../gen/nebula/v1/report_pb.ts";
import { cutToWidth, displayWidth } from "../../output/display-width.ts";

/** Devices that failed, which are shown by name. */
const SHOWN = 10;
const BAR = 20;
/** Of the words of a device, characters. */
const LONGEST_REASON = 200;

/** How a change reaches the devices, as lines for a person. */
export class ApplyProgress {
  readonly #followed: readonly Followed[];
  readonly #timeoutMs: number;
  readonly #failed = new FailedDevices();
  #message: WatchApplyResponse | undefined;

  constructor(followed: readonly Followed[], timeoutMs: number) {
    this.#followed = followed;
    this.#timeoutMs = timeoutMs;
  }

  /** The next message begins a stream. */
  forget(): void {
    this.#failed.restart();
  }

  take(message: WatchApplyResponse): void {
    this.#message = message;
    this.#failed.take(message);
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
    const devices = this.#failed.devices.slice(0, SHOWN);
    const width = Math.max(0, ...devices.map(({ deviceId }) => displayWidth(deviceId)));
    const more = failed > devices.length ? [`  ${failed} failed: ${this.#byCode}`] : [];
    const lines = [
      ...(this.#message?.superseded ?? []).map((target) => `  ${supersededText(target)}`),
      ...devices.map((device) => `  failed  ${device.deviceId.padEnd(width)}  ${cutToWidth(deviceReason(device), LONGEST_REASON)}`),
      ...(this.#failed.isOlder ? [`  ${OLDER_FAILURES}`] : []),
      ...more,
    ].map((text) => printableLine(text));
    return [this.line(elapsedMs, columns), ...(columns === undefined ? lines : lines.map((text) => cutToWidth(text, columns)))];
  }

  /** How it ended, in one sentence. */
  summary(): string {
    return applySummary(this.#message, this.#followed, this.#timeoutMs);
  }

  get #numbers(): ApplyNumbers {
    return applyNumbers(this.#message);
  }

  get #title(): string {
    return applyTitle(this.#message, this.#followed);
  }

  get #bar(): string {
    const { applied, devices } = this.#numbers;
    const filled = devices === 0 ? 0 : Math.floor((applied / devices) * BAR);
    return `${"#".repeat(filled)}${"-".repeat(BAR - filled)}`;
  }

  get #byCode(): string {
    return (this.#message?.failures ?? []).map(({ failureCode, devices }) => `${devices} ${failureWord(failureCode)}`).join(", ");
  }
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
      ...(failureCode === FailureCode.UNSPECIFIED ? {} : { code: failureWord(failureCode) }),
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
    ...(verdict === ApplyVerdict.UNSPECIFIED ? {} : { verdict: valueWord(ApplyVerdictSchema, verdict) }),
  };
}

function deviceJson({ deviceId, deviceGroup, standing, kind, name, failureCode, stepKind, reason }: ApplyDevice): JsonObject {
  const step = stepKind === StepKind.UNSPECIFIED ? "" : valueWord(StepKindSchema, stepKind);
  return {
    device_id: deviceId,
    device_group: deviceGroup,
    state: standingWord(standing),
    ...(name === "" ? {} : { kind: entityKindOf(kind) ?? "", name }),
    ...(failureCode === FailureCode.UNSPECIFIED ? {} : { code: failureWord(failureCode) }),
    ...(step === "" ? {} : { step }),
    ...(reason === "" ? {} : { reason }),
  };
}

/** A device that is not in the device_groups any more is `gone`. */
function standingWord(standing: DeviceStanding): string {
  return standing === DeviceStanding.UNSPECIFIED ? "gone" : valueWord(DeviceStandingSchema, standing);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

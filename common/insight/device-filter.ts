import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ConfigStanding,
  ConfigStandingSchema,
  ConnectionState,
  ConnectionStateSchema,
  type DeviceConnection,
  type DeviceFilter,
  type DeviceSummary,
  TargetKindSchema,
} from "../../gen/nebula/v1/device_pb.ts";
import { FailureCode, FailureCodeSchema, TargetState, TargetStateSchema } from "../../gen/nebula/v1/report_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { entityKindOf } from "../resources/target-kind.ts";
import { quote } from "../text/wording.ts";
import { validateName } from "../validation/names.ts";
import type { DeviceState, StateOfDevice } from "./device-state.ts";
import { isAtNewest, type NewestConfig } from "./newest-config.ts";

/** A device as filters and counts see it. */
export type SeenDevice = Readonly<{ summary: DeviceSummary | undefined; connection: DeviceConnection }>;

/** The facts that a filter looks at beside the device. */
export type FilterContext = Readonly<{
  nowMs: number;
  /** Of the device's group; undefined: it does not exist. Read for `not_newest` alone. */
  newest: NewestConfig | undefined;
  /** Where a device stands with the target of the filter; without one, with the newest config of its group. Read for `standing` alone. */
  standingOf: (device: SeenDevice) => StateOfDevice;
}>;

const CONFIG_STANDINGS: Readonly<Record<DeviceState, ConfigStanding>> = {
  applied: ConfigStanding.APPLIED,
  failed: ConfigStanding.FAILED,
  offline: ConfigStanding.OFFLINE,
  working: ConfigStanding.WORKING,
  waiting: ConfigStanding.WAITING,
};

/** Hexadecimal digits of an image's id in a summary. */
const IMAGE_DIGITS = 16;
const LONGEST_VERSION = 64;
const LONGEST_PROBLEM = 256;
/** A time longer than this is a mistake: a hundred years, milliseconds. */
const LONGEST_OFFLINE_MS = 100n * 366n * 86_400_000n;

/** Whether a device matches every field that is set. */
export function matchesFilter(device: SeenDevice, filter: DeviceFilter, { nowMs, newest, standingOf }: FilterContext): boolean {
  const { summary, connection } = device;
  if (filter.state !== TargetState.UNSPECIFIED && summary?.state !== filter.state) return false;
  if (filter.connection !== ConnectionState.UNSPECIFIED && connection.state !== filter.connection) return false;
  if (filter.offlineLongerMs > 0n && !(offlineMs(device, nowMs) > Number(filter.offlineLongerMs))) return false;
  if (filter.failing && !isFailing(summary)) return false;
  if (filter.failureCode !== FailureCode.UNSPECIFIED && filter.standing !== ConfigStanding.FAILED && !hasCode(summary, filter.failureCode))
    return false;
  if (filter.notNewest && isAtNewest(summary, newest)) return false;
  if (filter.workerVersion !== "" && summary?.workerVersion !== filter.workerVersion) return false;
  if (filter.problem !== "" && !(summary?.problems ?? []).includes(filter.problem)) return false;
  if (filter.imageId !== "" && !hasImage(summary, digitsOf(filter.imageId))) return false;
  return filter.standing === ConfigStanding.UNSPECIFIED || standsSo(standingOf(device), filter);
}

function hasCode(summary: DeviceSummary | undefined, code: FailureCode): boolean {
  return (summary?.targets ?? []).some(({ failureCode }) => failureCode === code);
}

/** A device that failed counts under one code, though others of its apps and cron_jobs may have other codes. */
function standsSo({ state, code }: StateOfDevice, { standing, failureCode }: DeviceFilter): boolean {
  if (CONFIG_STANDINGS[state] !== standing) return false;
  return state !== "failed" || failureCode === FailureCode.UNSPECIFIED || failureCode === code;
}

/** For how long a device has been offline, milliseconds; -1 for one that is not, or of which nothing is known. */
export function offlineMs({ summary, connection }: SeenDevice, nowMs: number): number {
  if (connection.state !== ConnectionState.OFFLINE) return -1;
  const sinceMs = connection.since === undefined ? Number(summary?.receivedAtMs ?? 0n) : timestampMs(connection.since);
  return sinceMs === 0 ? -1 : Math.max(0, nowMs - sinceMs);
}

/** Whether a device failed as a whole, has a failed app or cron_job, or a problem. */
export function isFailing(summary: DeviceSummary | undefined): boolean {
  if (summary === undefined) return false;
  return summary.state === TargetState.FAILED || summary.problems.length > 0 || summary.targets.some(({ state }) => state === TargetState.FAILED);
}

/** Whether any field of a filter is set. */
export function hasFilter(filter: DeviceFilter | undefined): filter is DeviceFilter {
  if (filter === undefined) return false;
  const { state, connection, offlineLongerMs, failing, failureCode, notNewest, workerVersion, imageId, standing, problem, target } = filter;
  const hasNumber = [state, connection, failureCode, standing].some((number) => number !== 0);
  const hasText = [workerVersion, imageId, problem].some((text) => text !== "");
  return hasNumber || hasText || offlineLongerMs > 0n || failing || notNewest || target !== undefined;
}

/** Checks a filter: one that can never match is a typing error, which an empty list would hide. @param path of the filter in its request */
export function validateDeviceFilter(filter: DeviceFilter | undefined, path = "filter"): Violation[] {
  if (filter === undefined) return [];
  const violations: Violation[] = [];
  const refuse = (field: string, description: string) => violations.push({ field: `${path}.${field}`, description });
  const enums = [
    ["state", filter.state, TargetStateSchema.values],
    ["connection", filter.connection, ConnectionStateSchema.values],
    ["failure_code", filter.failureCode, FailureCodeSchema.values],
    ["standing", filter.standing, ConfigStandingSchema.values],
  ] as const;
  for (const [field, number, values] of enums) {
    const names = values.filter((value) => value.number !== 0).map(({ name }) => name);
    if (!values.some((value) => value.number === number)) refuse(field, `invalid ${field} "${number}"; use ${names.join(", ")}`);
  }
  if (filter.offlineLongerMs > LONGEST_OFFLINE_MS) {
    refuse(
      "offline_longer_ms",
      `invalid offline_longer_ms "${filter.offlineLongerMs}": it is longer than 100 years; use milliseconds, such as 3600000`,
    );
  }
  if (filter.workerVersion.length > LONGEST_VERSION) {
    refuse(
      "worker_version",
      `invalid worker_version ${quote(filter.workerVersion)}: it is longer than ${LONGEST_VERSION} characters; use one such as 0.1.0`,
    );
  }
  if (filter.problem.length > LONGEST_PROBLEM) {
    refuse(
      "problem",
      `invalid problem ${quote(filter.problem)}: it is longer than ${LONGEST_PROBLEM} characters; use a code such as engine_unreachable`,
    );
  }
  if (filter.target !== undefined) {
    const { kind, name } = filter.target;
    const names = TargetKindSchema.values.filter(({ number }) => number !== 0).map((value) => value.name);
    if (entityKindOf(kind) === undefined) refuse("target.kind", `invalid kind "${kind}"; use ${names.join(", ")}`);
    violations.push(...validateName(name, `${path}.target.name`));
  }
  if (filter.imageId !== "" && !/^(?:sha256:)?[0-9a-f]{4,64}$/.test(filter.imageId)) {
    refuse(
      "image_id",
      `invalid image_id ${quote(filter.imageId)}: it is not 4 to 64 hexadecimal digits; use the beginning of an id, such as sha256:0f31c2aa`,
    );
  }
  return violations;
}

function digitsOf(imageId: string): string {
  return imageId.replace(/^sha256:/, "").slice(0, IMAGE_DIGITS);
}

function hasImage(summary: DeviceSummary | undefined, digits: string): boolean {
  return (summary?.targets ?? []).some(({ imageIds }) => imageIds.some((id) => Buffer.from(id).toString("hex").startsWith(digits)));
}

import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { WatchConfigRequest } from "../../gen/nebula/v1/config_pb.ts";
import type { ContainerStatus, Report } from "../../gen/nebula/v1/report_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { bootViolations, deviceIdViolations, validateName } from "./names.ts";

const MOST_USES = 1_000_000;
const LONGEST_SECONDS = 365 * 86_400;
/** SHA-256, bytes. */
const HASH_BYTES = 32;

/** Checks a request for an enrolment token. */
export function validateEnrolmentRequest(request: Readonly<{ deviceGroup: string; uses: number; expiresInSeconds: number }>): Violation[] {
  const { deviceGroup, uses, expiresInSeconds } = request;
  const violations = [...validateName(deviceGroup, "device_group")];
  if (uses > MOST_USES) violations.push({ field: "uses", description: `${uses} is too many; use 1 to ${MOST_USES}, or 0 for 1` });
  if (expiresInSeconds > LONGEST_SECONDS) {
    violations.push({
      field: "expires_in_seconds",
      description: `${expiresInSeconds} is too long; use 1 to ${LONGEST_SECONDS} (a year), or 0 for a day`,
    });
  }
  return violations;
}

/** Checks the enrolment of a device. */
export function validateEnrolment({ deviceId, tokenHash }: Readonly<{ deviceId: string; tokenHash: Uint8Array }>): Violation[] {
  return [...deviceIdViolations(deviceId, "device_id"), ...tokenHashViolations(tokenHash, "token_hash")];
}

/** Checks the hash of a token. */
export function tokenHashViolations(hash: Uint8Array, field: string): Violation[] {
  if (hash.byteLength === HASH_BYTES) return [];
  return [{ field, description: `has ${hash.byteLength} bytes; use the SHA-256 of the token, ${HASH_BYTES} bytes` }];
}

/** Checks the id of an enrolment token. */
export function enrolmentIdViolations(id: string, field: string): Violation[] {
  if (/^[0-9a-f]{16}$/.test(id)) return [];
  // Not repeated: it may be the token itself.
  return [
    {
      field,
      description: "is not the id of an enrolment token; use 16 hexadecimal digits from the list of enrolment tokens, not the token itself",
    },
  ];
}

/** Checks the id of a session. */
export function sessionIdViolations(id: string, field: string): Violation[] {
  if (/^[0-9a-f]{16}$/.test(id)) return [];
  // Not repeated: it may be the token itself.
  return [{ field, description: "is not the id of a session; use 16 hexadecimal digits from the list of sessions, not the token itself" }];
}

/** The meaning of a keepalive of 0, milliseconds. */
export const DEFAULT_KEEPALIVE_MS = 300_000;
const SHORTEST_KEEPALIVE_MS = 10_000;
const LONGEST_KEEPALIVE_MS = 1_800_000;

const LONGEST_ETAG = 64;
const LONGEST_VERSION = 64;
/** Features that a request names at most: a worker of a later release may name ones that this one does not know. */
const MOST_FEATURES = 64;
const FEATURE = /^[a-z0-9][a-z0-9_.-]{0,62}$/;

/** Checks a WatchConfigRequest. */
export function validateWatchRequest(request: WatchConfigRequest): readonly Violation[] {
  const violations = validateName(request.deviceGroup, "device_group");
  const keepalive = request.keepaliveMs;
  if (keepalive !== 0 && (keepalive < SHORTEST_KEEPALIVE_MS || keepalive > LONGEST_KEEPALIVE_MS)) {
    violations.push({
      field: "keepalive_ms",
      description: `${keepalive} is out of range: ${SHORTEST_KEEPALIVE_MS} to ${LONGEST_KEEPALIVE_MS}, or 0 for ${DEFAULT_KEEPALIVE_MS}`,
    });
  }
  if (request.deviceId !== "") violations.push(...deviceIdViolations(request.deviceId, "device_id"), ...bootViolations(request.boot, "boot"));
  if (request.etag.length > LONGEST_ETAG)
    violations.push({ field: "etag", description: `is longer than any etag: at most ${LONGEST_ETAG} characters` });
  if (request.workerVersion.length > LONGEST_VERSION)
    violations.push({ field: "worker_version", description: `is longer than any version: at most ${LONGEST_VERSION} characters` });
  return [...violations, ...featureViolations(request.features)];
}

function featureViolations(features: readonly string[]): readonly Violation[] {
  if (features.length > MOST_FEATURES) return [{ field: "features", description: `names ${features.length}; use at most ${MOST_FEATURES}` }];
  const wrong = features.findIndex((feature) => !FEATURE.test(feature));
  if (wrong < 0) return [];
  return [
    {
      field: `features[${wrong}]`,
      description: "is not the name of a feature; use lower-case letters, digits, '_', '.' and '-', at most 63 of them",
    },
  ];
}

/** The times that JSON can hold: 0001-01-01 to 9999-12-31, seconds since 1970. Another one makes each list with its report unreadable. */
const EARLIEST_SECONDS = -62_135_596_800n;
const LATEST_SECONDS = 253_402_300_799n;
/** Ids of reports and versions of rows hold the time of a shard in 32 bits of seconds. */
const LATEST_RECEIVED_SECONDS = 2n ** 32n - 1n;

/** Checks a point in time. */
export function timestampViolations(time: Timestamp | undefined, field: string): readonly Violation[] {
  if (time === undefined) return [];
  if (time.seconds < EARLIEST_SECONDS || time.seconds > LATEST_SECONDS) return [{ field, description: "the time is outside the years 1 to 9999" }];
  if (time.nanos < 0 || time.nanos > 999_999_999) return [{ field, description: `invalid nanoseconds "${time.nanos}"; use 0 to 999,999,999` }];
  return [];
}

/** Checks a report. @param path of the report in its message, for the violations' fields */
export function validateReport(report: Report, path: string): readonly Violation[] {
  const violations = [
    ...deviceIdViolations(report.deviceId, `${path}.device_id`),
    ...validateName(report.deviceGroup, `${path}.device_group`),
    ...bootViolations(report.boot, `${path}.boot`),
  ];
  if (report.seq === 0n) violations.push({ field: `${path}.seq`, description: "must be at least 1" });
  const received = report.receivedAt?.seconds ?? 0n;
  if (received < 0n || received > LATEST_RECEIVED_SECONDS)
    violations.push({ field: `${path}.received_at`, description: "the time is outside the years 1970 to 2106" });
  visitTimes(report, (time, field) => {
    if (time !== undefined) violations.push(...timestampViolations(time, `${path}.${field()}`));
  });
  return violations;
}

/** @param field returns the path of the time's field in the report: most times of a report are absent, and need no path */
type VisitTime = (time: Timestamp | undefined, field: () => string) => void;

function visitTimes({ createdAt, receivedAt, startedAt, apps, cronJobs }: Report, visit: VisitTime): void {
  visit(createdAt, () => "created_at");
  visit(receivedAt, () => "received_at");
  visit(startedAt, () => "started_at");
  apps.forEach(({ retryAt, containers }, index) => {
    visit(retryAt, () => `apps[${index}].retry_at`);
    visitTimesOfContainers(containers, () => `apps[${index}]`, visit);
  });
  cronJobs.forEach(({ lastRunDue, nextRunDue, containers }, index) => {
    visit(lastRunDue, () => `cron_jobs[${index}].last_run_due`);
    visit(nextRunDue, () => `cron_jobs[${index}].next_run_due`);
    visitTimesOfContainers(containers, () => `cron_jobs[${index}]`, visit);
  });
}

function visitTimesOfContainers(containers: readonly ContainerStatus[], path: () => string, visit: VisitTime): void {
  containers.forEach(({ startedAt }, index) => {
    visit(startedAt, () => `${path()}.containers[${index}].started_at`);
  });
}

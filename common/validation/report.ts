import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { ContainerStatus, Report } from "../../gen/nebula/v1/report_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateName } from "./name.ts";
import { quote } from "./quote.ts";

/** As a device_group's name, but longer: a host name may have 64 characters, and the worker adds seven. */
const DEVICE_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
const BOOT = /^[a-zA-Z0-9_-]{1,64}$/;

/** What JSON can say of a time: 0001-01-01 to 9999-12-31, seconds since 1970. One that it can't say would spoil every list with that report. */
const EARLIEST_SECONDS = -62_135_596_800n;
const LATEST_SECONDS = 253_402_300_799n;
/** Ids of reports and versions of rows hold the time of a shard in 32 bits of seconds. */
const LATEST_RECEIVED_SECONDS = 2n ** 32n - 1n;

/** What is wrong with a device_id, if anything is. */
export function deviceIdViolations(deviceId: string, field: string): readonly Violation[] {
  if (DEVICE_ID.test(deviceId)) return [];
  return [{ field, description: `${quote(deviceId)} is no device id: 1 to 128 of a-z, A-Z, 0-9, '_', '.', '-', the first a letter or digit` }];
}

/** What is wrong with the id of a worker's start, if anything is. */
export function bootViolations(boot: string, field: string): readonly Violation[] {
  if (BOOT.test(boot)) return [];
  return [{ field, description: `${quote(boot)} is no id of a boot: 1 to 64 of a-z, A-Z, 0-9, '_', '-'` }];
}

/** What is wrong with the id of a report that may be given, if anything is. */
export function reportIdViolations(id: string, field: string): readonly Violation[] {
  if (id === "" || /^[0-9a-f]{24}$/i.test(id)) return [];
  return [{ field, description: `${quote(id)} is no id of a report: 24 hexadecimal digits, as a list of reports shows them` }];
}

/** What is wrong with a point in time, if anything is. */
export function timestampViolations(time: Timestamp | undefined, field: string): readonly Violation[] {
  if (time === undefined) return [];
  if (time.seconds < EARLIEST_SECONDS || time.seconds > LATEST_SECONDS) return [{ field, description: "the time is outside the years 1 to 9999" }];
  if (time.nanos < 0 || time.nanos > 999_999_999) return [{ field, description: `${time.nanos} nanoseconds: 0 to 999,999,999 would do` }];
  return [];
}

/** Everything that is wrong with a report. @param path of the report in its message, for the violations' fields */
export function validateReport(report: Report, path: string): readonly Violation[] {
  const violations = [
    ...deviceIdViolations(report.deviceId, `${path}.device_id`),
    ...validateName(report.deviceGroup, `${path}.device_group`),
    ...bootViolations(report.boot, `${path}.boot`),
  ];
  if (report.seq === 0n) violations.push({ field: `${path}.seq`, description: "0 is no number of a report: they rise by one from 1" });
  const received = report.receivedAt?.seconds ?? 0n;
  if (received < 0n || received > LATEST_RECEIVED_SECONDS)
    violations.push({ field: `${path}.received_at`, description: "the time is outside the years 1970 to 2106" });
  for (const [field, time] of timesOf(report)) violations.push(...timestampViolations(time, `${path}.${field}`));
  return violations;
}

function* timesOf(report: Report): Generator<readonly [field: string, time: Timestamp | undefined]> {
  yield ["created_at", report.createdAt];
  yield ["received_at", report.receivedAt];
  yield ["started_at", report.startedAt];
  for (const [index, app] of report.apps.entries()) {
    yield [`apps[${index}].retry_at`, app.retryAt];
    yield* timesOfContainers(app.containers, `apps[${index}]`);
  }
  for (const [index, cronJob] of report.cronJobs.entries()) {
    yield [`cron_jobs[${index}].last_run_due`, cronJob.lastRunDue];
    yield [`cron_jobs[${index}].next_run_due`, cronJob.nextRunDue];
    yield* timesOfContainers(cronJob.containers, `cron_jobs[${index}]`);
  }
}

function* timesOfContainers(containers: readonly ContainerStatus[], path: string): Generator<readonly [field: string, time: Timestamp | undefined]> {
  for (const [index, container] of containers.entries()) yield [`${path}.containers[${index}].started_at`, container.startedAt];
}

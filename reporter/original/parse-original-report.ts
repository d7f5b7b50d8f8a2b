import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { messageOf } from "../../common/errors/nebula-error.ts";
import { ORIGINAL_BOOT } from "../../common/storage/device-summary.ts";
import { validateReport } from "../../common/validation/device-requests.ts";
import { type HostStatusSchema, type Report, ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { blankEnv } from "./blank-env.ts";
import { isJsonObject, type JsonObject, numberAt, objectAt, textAt } from "./json-value.ts";
import { originalApps, originalConfig, originalCronJobs } from "./original-targets.ts";

export type ParsedOriginal = Readonly<
  | {
      kind: "report";
      report: Report;
      /** The whole report of the worker, env values blanked. */
      json: string;
      /** Whether the worker says that it had changed something; undefined: it says nothing of it, as older ones do not. */
      updated: boolean | undefined;
    }
  | { kind: "unreadable"; reason: string }
>;

/** The version of a worker that does not report it. */
const ORIGINAL_WORKER = "original";
/** The original counts in MB of 1024 * 1024. */
const MB = 1024 * 1024;
/** A device's clock that is further ahead of the bus's than this is wrong: else its reports would count as repeats once that clock is right. Milliseconds. */
const MOST_AHEAD_MS = 5 * 60_000;

/**
 * Reads the JSON that a worker of the original puts on the bus: its device is its hostname, all its reports are of one boot, `v2`, and a report's number is the
 * second at which it was made, or the bus took it where the device's clock is ahead. Answers for any bytes; a report that it answers is valid.
 * @param receivedMs when the bus took it, milliseconds since 1970
 */
export function parseOriginalReport(value: Uint8Array, receivedMs: number): ParsedOriginal {
  try {
    const parsed: unknown = blankEnv(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value)));
    if (!isJsonObject(parsed)) return unreadable("it is not a JSON object");
    const report = reportOf(parsed, receivedMs);
    const [violation] = validateReport(report, "report");
    if (violation !== undefined) return unreadable(`${originalNameOf(violation.field)}: ${violation.description}`);
    return { kind: "report", report, json: JSON.stringify(parsed), updated: typeof parsed.updated === "boolean" ? parsed.updated : undefined };
  } catch (error) {
    // The parser's own words repeat a part of the text, which may hold env values.
    return unreadable(error instanceof RangeError ? messageOf(error) : "it is not JSON");
  }
}

function unreadable(reason: string): ParsedOriginal {
  return { kind: "unreadable", reason: `not a report of the original's worker: ${reason}` };
}

function reportOf(original: JsonObject, receivedMs: number): Report {
  const config = originalConfig(original);
  const createdSeconds = Math.trunc(numberAt(original, "report_creation_time"));
  const [apps, cronJobs] = [originalApps(original), originalCronJobs(original)];
  return create(ReportSchema, {
    deviceId: textAt(original, "hostname"),
    deviceGroup: textAt(original, "device_group"),
    boot: ORIGINAL_BOOT,
    seq: BigInt(createdSeconds * 1000 > receivedMs + MOST_AHEAD_MS ? Math.floor(receivedMs / 1000) : createdSeconds),
    createdAt: timestampFromMs(createdSeconds * 1000),
    receivedAt: timestampFromMs(receivedMs),
    workerVersion: ORIGINAL_WORKER,
    state: apps.every(({ state }) => state === TargetState.APPLIED) ? TargetState.APPLIED : TargetState.FAILED,
    groupRevision: BigInt(Math.trunc(numberAt(config, "device_group_id"))),
    pruneId: BigInt(Math.trunc(numberAt(config, "prune_id"))),
    apps,
    cronJobs,
    host: hostOf(original),
  });
}

function hostOf(original: JsonObject): Exclude<MessageInitShape<typeof HostStatusSchema>, { $typeName: string }> {
  const [memory, disk, cpu] = [objectAt(original, "memory_usage"), objectAt(original, "root_disk_usage"), objectAt(original, "cpu_usage")];
  return {
    hostname: textAt(original, "hostname"),
    cpuCores: Math.min(Math.trunc(numberAt(cpu, "cores")), 0xffff),
    cpuUsedPercent: numberAt(cpu, "used_percent"),
    memoryTotalBytes: bytesAt(memory, "total"),
    memoryAvailableBytes: bytesAt(memory, "available"),
    diskTotalBytes: bytesAt(disk, "total"),
    diskFreeBytes: bytesAt(disk, "free"),
  };
}

function bytesAt(usage: JsonObject, name: string): bigint {
  return BigInt(Math.trunc(numberAt(usage, name))) * BigInt(MB);
}

/** The original's name of a field of Report. */
function originalNameOf(field: string): string {
  const names: Readonly<Record<string, string>> = {
    "report.device_id": "hostname",
    "report.device_group": "device_group",
    "report.seq": "report_creation_time",
  };
  return names[field] ?? field;
}

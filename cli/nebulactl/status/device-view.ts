import type { JsonValue } from "@bufbuild/protobuf";
import { printableLine } from "../../../common/printable.ts";
import { type Device, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import type { HostStatus, Report } from "../../../gen/nebula/v1/report_pb.ts";
import { ageOf, formatAge } from "../output/age.ts";
import type { Paint } from "../output/paint.ts";
import type { ListView } from "../output/print-list.ts";
import { protoJson } from "../output/proto-json.ts";
import { type Cell, renderFields, renderTable } from "../output/table.ts";
import { containersCell, problemsCell, problemsOf, revisionsText } from "./report-summary.ts";
import { appRow, containerRow, cronJobRow } from "./status-rows.ts";
import { stateCell } from "./target-state.ts";

/** The rows that one table of a device shows: what a device reports may be very much. */
const MOST_ROWS = 100;

/** The newest status of many devices, a line each. @param now wall clock, milliseconds since 1970 */
export function deviceList(now: number): ListView<Device> {
  return {
    plural: "devices",
    header: ["DEVICE", "GROUP", "STATE", "REVISIONS", "CONTAINERS", "WORKER", "LAST REPORT", "PROBLEMS"],
    row({ deviceId, deviceGroup, report, duplicateId }) {
      if (report === undefined) return [deviceId, deviceGroup, "unknown"];
      const problems = problemsCell(problemsOf(report, duplicateId));
      return [
        deviceId,
        deviceGroup,
        stateCell(report.state),
        revisionsText(report),
        containersCell(report),
        report.workerVersion,
        ageOf(report.receivedAt, now),
        problems,
      ];
    },
    json: deviceJson,
  };
}

export function deviceJson(device: Device): JsonValue {
  return protoJson(DeviceSchema, device);
}

/** All that is known of one device. @param now wall clock, milliseconds since 1970 */
export function deviceText({ deviceId, deviceGroup, report, firstSeenAt, duplicateId }: Device, now: number): (paint: Paint) => string {
  return (paint) => {
    const known: (readonly [string, Cell])[] = [
      ["device", deviceId],
      ["device_group", deviceGroup],
    ];
    const seen: readonly [string, Cell] = ["first seen", firstSeenAt === undefined ? "" : `${ageOf(firstSeenAt, now)} ago`];
    if (report === undefined) return renderFields([...known, seen], paint);
    const problems = problemsOf(report, duplicateId);
    const wrong: (readonly [string, Cell])[] =
      problems.length === 0 ? [] : [["problems", { text: problems.map(printableLine).join("\n"), color: "red" }]];
    const parts = [
      renderFields([...known, ...reportFields(report, now), seen, ...hostFields(report.host), ...wrong], paint),
      table(
        ["APP", "REVISION", "APPLIED", "STATE", "STEP", "TRIES", "NEXT TRY", "NOTES"],
        report.apps.map((app) => appRow(app, now)),
        paint,
      ),
      table(
        ["CRON_JOB", "REVISION", "APPLIED", "STATE", "LAST RUN", "NEXT RUN", "NOTES"],
        report.cronJobs.map((cronJob) => cronJobRow(cronJob, now)),
        paint,
      ),
      table(
        ["CONTAINER", "STATE", "HEALTH", "RESTARTS", "REVISION", "IMAGE", "STARTED", "CPU", "MEMORY"],
        [...report.apps, ...report.cronJobs].flatMap(({ containers }) => containers.map((container) => containerRow(container, now))),
        paint,
      ),
    ];
    return parts.filter((part) => part !== "").join("\n");
  };
}

function reportFields(report: Report, now: number): (readonly [string, Cell])[] {
  return [
    ["state", stateCell(report.state)],
    ["group revision", String(report.groupRevision)],
    ["prune_id", String(report.pruneId)],
    ["last report", report.receivedAt === undefined ? "never" : `${ageOf(report.receivedAt, now)} ago`],
    ["worker", workerText(report, now)],
    ...clusterField(report),
  ];
}

/** A worker of the original knows of no cluster. */
function clusterField({ cluster, instance }: Report): (readonly [string, Cell])[] {
  if (cluster === undefined) return instance === "" ? [] : [["cluster", "none yet"]];
  return [["cluster", `${cluster.id}, epoch ${cluster.epoch}`]];
}

/** A worker of the original tells neither its instance nor when it started. */
function workerText({ workerVersion, instance, startedAt }: Report, now: number): string {
  return joined([workerVersion, instance && `instance ${instance}`, startedAt && `started ${ageOf(startedAt, now)} ago`]);
}

/** What is known, of what may be told. */
function joined(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== "").join(", ");
}

function hostFields(host: HostStatus | undefined): (readonly [string, Cell])[] {
  if (host === undefined) return [];
  const used = (total: bigint, free: bigint) => `${gigabytes(total - free)} of ${gigabytes(total)} used`;
  return [
    [
      "host",
      joined([
        host.hostname,
        host.os,
        host.arch,
        host.engineVersion && `Docker ${host.engineVersion}`,
        host.uptimeSeconds === 0n ? undefined : `up ${formatAge(Number(host.uptimeSeconds) * 1000)}`,
      ]),
    ],
    ["cpu", `${host.cpuUsedPercent.toFixed(0)} % of ${host.cpuCores} cores`],
    ["memory", used(host.memoryTotalBytes, host.memoryAvailableBytes)],
    ["disk", used(host.diskTotalBytes, host.diskFreeBytes)],
  ];
}

/** A table with a line between it and what stands before; nothing where it has no rows. */
function table(header: readonly string[], rows: readonly (readonly Cell[])[], paint: Paint): string {
  if (rows.length === 0) return "";
  const more = rows.length - MOST_ROWS;
  return `${renderTable(header, rows.slice(0, MOST_ROWS), paint)}${more <= 0 ? "" : `and ${more} more; -o json shows all\n`}`;
}

function gigabytes(bytes: bigint): string {
  return `${(Number(bytes) / 1e9).toFixed(1)} GB`;
}

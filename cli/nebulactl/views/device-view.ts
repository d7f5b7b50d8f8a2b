import type { JsonValue } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { printableLine } from "../../../common/printable.ts";
import { ConnectionState, type Device, type DeviceConnection, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import {
  type AppStatus,
  ContainerHealth,
  ContainerState,
  ContainerStateSchema,
  type ContainerStatus,
  type CronJobStatus,
  type HostStatus,
  type Report,
} from "../../../gen/nebula/v1/report_pb.ts";
import { ageOf, formatAge } from "../output/age.ts";
import type { Paint } from "../output/paint.ts";
import { protoJson } from "../output/proto-json.ts";
import { type Cell, renderFields, renderTable } from "../output/table.ts";
import { problemsOf } from "./report-view.ts";
import { stateCell } from "./target-state.ts";

/** The most rows of one table of a device, since a report may be very large. */
const MOST_ROWS = 100;

export function deviceJson(device: Device): JsonValue {
  return protoJson(DeviceSchema, device);
}

/** Everything known about one device. @param now wall clock, milliseconds since 1970 */
export function deviceText({ deviceId, deviceGroup, connection, report, firstSeenAt, duplicateId }: Device, now: number): (paint: Paint) => string {
  return (paint) => {
    const known: (readonly [string, Cell])[] = [["device", deviceId], ["device_group", deviceGroup], ...connectionField(connection, now)];
    const seen: readonly [string, Cell] = ["first seen", firstSeenAt === undefined ? "" : `${ageOf(firstSeenAt, now)} ago`];
    if (report === undefined) return renderFields([...known, seen], paint);
    const problems = problemsOf(report, duplicateId);
    const wrong: (readonly [string, Cell])[] =
      problems.length === 0 ? [] : [["problems", { text: problems.map(printableLine).join("\n"), color: "red" }]];
    const parts = [
      renderFields([...known, ...reportFields(report, now), seen, ...hostFields(report.host), ...wrong], paint),
      table(
        ["APP", "REVISION", "APPLIED", "STATE", "STEP", "TRIES", "NEXT TRY", "NOTES"],
        report.apps.map((app) => appRow(app, report, now)),
        paint,
      ),
      table(
        ["CRON_JOB", "REVISION", "APPLIED", "STATE", "LAST RUN", "NEXT RUN", "NOTES"],
        report.cronJobs.map((cronJob) => cronJobRow(cronJob, report, now)),
        paint,
      ),
      table(
        ["CONTAINER", "STATE", "HEALTH", "RESTARTS", "REVISION", "IMAGE", "STARTED", "CPU", "MEMORY"],
        [...report.apps, ...report.cronJobs].flatMap(({ containers }) => containers.map((container) => containerRow(container, report, now))),
        paint,
      ),
    ];
    return parts.filter((part) => part !== "").join("\n");
  };
}

/** Whether it is connected, since when, and the shard that has its watch, or had the last one. */
function connectionField(connection: DeviceConnection | undefined, now: number): (readonly [string, Cell])[] {
  if (connection === undefined || connection.state === ConnectionState.UNSPECIFIED) return [];
  const { since, shard } = connection;
  const online = connection.state === ConnectionState.ONLINE;
  const age = since === undefined ? "" : ` for ${ageOf(since, now)}`;
  const where = shard === "" ? "" : `, ${online ? "" : "last on "}shard ${shard}`;
  const text = `${online ? "yes" : "no, offline"}${age}${where}`;
  return [["connected", online ? text : { text, color: "yellow" }]];
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

/** The cluster that the worker follows; a worker of the original has none. */
function clusterField({ cluster, instance }: Report): (readonly [string, Cell])[] {
  if (cluster === undefined) return instance === "" ? [] : [["cluster", "none yet"]];
  return [["cluster", `${cluster.id}, epoch ${cluster.epoch}`]];
}

/** The worker of a device; one of the original reports neither its instance nor its start. */
function workerText(report: Report, now: number): string {
  const { workerVersion, instance, startedAt } = report;
  return joined([workerVersion, instance && `instance ${instance}`, startedAt && `started ${formatAge(ageOnDevice(startedAt, report, now))} ago`]);
}

/** Joins the parts that are known. */
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

/** A table of at most MOST_ROWS rows; empty if it has no rows. */
function table(header: readonly string[], rows: readonly (readonly Cell[])[], paint: Paint): string {
  if (rows.length === 0) return "";
  const more = rows.length - MOST_ROWS;
  return `${renderTable(header, rows.slice(0, MOST_ROWS), paint)}${more <= 0 ? "" : `and ${more} more; -o json shows all\n`}`;
}

function gigabytes(bytes: bigint): string {
  return `${(Number(bytes) / 1e9).toFixed(1)} GB`;
}

/** The row of an app. @param now wall clock, milliseconds since 1970 */
function appRow(app: AppStatus, report: Report, now: number): Cell[] {
  return [
    app.name,
    String(app.revision),
    String(app.appliedRevision),
    stateCell(app.state),
    app.step,
    app.tries === 0 ? "" : String(app.tries),
    nextTryText(app, report, now),
    app.notes.join("; "),
  ];
}

/** The row of a cron_job. @param now wall clock, milliseconds since 1970 */
function cronJobRow(cronJob: CronJobStatus, report: Report, now: number): Cell[] {
  const last = cronJob.lastRunDue === undefined ? "none yet" : `${formatAge(ageOnDevice(cronJob.lastRunDue, report, now))} ago`;
  const next = cronJob.nextRunDue === undefined ? "none" : `in ${formatAge(-ageOnDevice(cronJob.nextRunDue, report, now))}`;
  return [cronJob.name, String(cronJob.revision), String(cronJob.appliedRevision), stateCell(cronJob.state), last, next, cronJob.notes.join("; ")];
}

/** The row of a container. @param now wall clock, milliseconds since 1970 */
function containerRow(container: ContainerStatus, report: Report, now: number): Cell[] {
  return [
    container.name,
    containerStateCell(container),
    healthCell(container.health),
    String(container.restarts),
    String(container.revision),
    container.image,
    container.startedAt === undefined ? "" : `${formatAge(ageOnDevice(container.startedAt, report, now))} ago`,
    container.cpuPercent === 0 ? "" : `${container.cpuPercent.toFixed(1)} %`,
    container.memoryBytes === 0n ? "" : `${(Number(container.memoryBytes) / 1e6).toFixed(0)} MB`,
  ];
}

function containerStateCell({ state, exitCode }: ContainerStatus): Cell {
  const name = (ContainerStateSchema.value[state]?.localName ?? "unknown").toLowerCase();
  if (state === ContainerState.EXITED) return exitCode === 0 ? "exited (0)" : { text: `exited (${exitCode})`, color: "red" };
  return state === ContainerState.DEAD || state === ContainerState.RESTARTING ? { text: name, color: "red" } : name;
}

function healthCell(health: ContainerHealth): Cell {
  switch (health) {
    case ContainerHealth.HEALTHY:
      return { text: "healthy", color: "green" };
    case ContainerHealth.UNHEALTHY:
      return { text: "unhealthy", color: "red" };
    case ContainerHealth.STARTING:
      return { text: "starting", color: "yellow" };
    default:
      return "";
  }
}

/** When the failing step is tried next; a worker of the release before says it by its wall clock alone. */
function nextTryText({ retryInMs, retryAt }: AppStatus, report: Report, now: number): string {
  if (retryInMs !== undefined) return `in ${formatAge(Number(retryInMs) - sinceReport(report, now))}`;
  return retryAt === undefined ? "" : `in ${formatAge(-ageOnDevice(retryAt, report, now))}`;
}

/**
 * How long ago a time of the device's clock was, milliseconds. No two clocks are compared: up to the report it is
 * counted by the device's, from then on by ours.
 */
function ageOnDevice(time: Timestamp, report: Report, now: number): number {
  if (report.createdAt === undefined) return now - timestampMs(time);
  return timestampMs(report.createdAt) - timestampMs(time) + sinceReport(report, now);
}

function sinceReport({ receivedAt }: Report, now: number): number {
  return receivedAt === undefined ? 0 : now - timestampMs(receivedAt);
}

/** Everything that is known of one device, as fields and tables. */
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { ConnectionState, type Device, type DeviceConnection } from "../../../gen/nebula/v1/device_pb.ts";
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
import { printableLine } from "../../printable.ts";
import { ageOf, formatAge } from "../../text/age.ts";
import { type Cell, type Field, red } from "../../text/cell.ts";
import { problemsOf, stateCell } from "./report-text.ts";

export type Table = Readonly<{ header: readonly string[]; rows: readonly (readonly Cell[])[] }>;

/** Its connection, newest report, host and problems. @param now wall clock, milliseconds since 1970 */
export function deviceFields({ deviceId, deviceGroup, connection, report, firstSeenAt, duplicateId }: Device, now: number): Field[] {
  const known: Field[] = [["device", deviceId], ["device_group", deviceGroup], ...connectionField(connection, now)];
  const seen: Field = ["first seen", firstSeenAt === undefined ? "" : `${ageOf(firstSeenAt, now)} ago`];
  if (report === undefined) return [...known, seen];
  const problems = problemsOf(report, duplicateId);
  const wrong: Field[] = problems.length === 0 ? [] : [["problems", red(problems.map(printableLine).join("\n"))]];
  return [...known, ...reportFields(report, now), seen, ...hostFields(report.host), ...wrong];
}

/** Its apps, cron_jobs and containers; a table may be empty. @param now wall clock, milliseconds since 1970 */
export function deviceTables(report: Report, now: number): Table[] {
  return [
    {
      header: ["APP", "REVISION", "APPLIED", "STATE", "STEP", "TRIES", "NEXT TRY", "NOTES"],
      rows: report.apps.map((app) => appRow(app, report, now)),
    },
    {
      header: ["CRON_JOB", "REVISION", "APPLIED", "STATE", "LAST RUN", "NEXT RUN", "NOTES"],
      rows: report.cronJobs.map((cronJob) => cronJobRow(cronJob, report, now)),
    },
    {
      header: ["CONTAINER", "STATE", "HEALTH", "RESTARTS", "REVISION", "IMAGE", "STARTED", "CPU", "MEMORY"],
      rows: [...report.apps, ...report.cronJobs].flatMap(({ containers }) => containers.map((container) => containerRow(container, report, now))),
    },
  ];
}

/** Whether it is connected, since when, and the shard that has its watch, or had the last one. */
function connectionField(connection: DeviceConnection | undefined, now: number): Field[] {
  if (connection === undefined || connection.state === ConnectionState.UNSPECIFIED) return [];
  const { since, shard } = connection;
  const online = connection.state === ConnectionState.ONLINE;
  const age = since === undefined ? "" : ` for ${ageOf(since, now)}`;
  const where = shard === "" ? "" : `, ${online ? "" : "last on "}shard ${shard}`;
  const text = `${online ? "yes" : "no, offline"}${age}${where}`;
  return [["connected", online ? text : { text, color: "yellow" }]];
}

function reportFields(report: Report, now: number): Field[] {
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
function clusterField({ cluster, instance }: Report): Field[] {
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

function hostFields(host: HostStatus | undefined): Field[] {
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

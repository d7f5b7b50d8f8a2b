import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type AppStatus,
  ContainerHealth,
  ContainerHealthSchema,
  ContainerStateSchema,
  type ContainerStatus,
  type CronJobStatus,
  type HostStatus,
  type Report,
  type StoredReport,
} from "../../gen/nebula/v1/report_pb.ts";

const MB = 1024n * 1024n;

/**
 * Returns a stored report as v2 shows it. A report of a worker of the original is shown as it was sent; a report of ours is put into that shape, its
 * hostname being the device_id, since two devices may have one host name.
 */
export function reportToV2({ id, report, originalJson, updated }: StoredReport): JsonObject {
  const inserted = { report_insert_date: { $date: msOf(report?.receivedAt) } };
  const sent = originalJson === "" ? (report === undefined ? {} : ownReport(report)) : originalReport(originalJson);
  return { _id: { $oid: id }, ...sent, updated, ...inserted };
}

function originalReport(json: string): JsonObject {
  const parsed: JsonValue = JSON.parse(json);
  return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? parsed : {};
}

function ownReport(report: Report): JsonObject {
  const { deviceId, deviceGroup, createdAt, apps, cronJobs, host } = report;
  return {
    ...hostToV2(host),
    apps_containers: apps.flatMap(({ containers }) => containers.map(containerToV2)),
    cron_jobs_containers: cronJobs.flatMap(({ containers }) => containers.map(containerToV2)),
    current_device_group_config: configToV2(report),
    device_group: deviceGroup,
    report_creation_time: Math.floor(msOf(createdAt) / 1000),
    hostname: deviceId,
  };
}

function hostToV2(host: HostStatus | undefined): JsonObject {
  const [memory, available] = [megabytes(host?.memoryTotalBytes), megabytes(host?.memoryAvailableBytes)];
  const [disk, free] = [megabytes(host?.diskTotalBytes), megabytes(host?.diskFreeBytes)];
  return {
    memory_usage: { total: memory, used: Math.max(0, memory - available), free: available, available },
    root_disk_usage: { total: disk, used: Math.max(0, disk - free), free },
    cpu_usage: { cores: host?.cpuCores ?? 0, used_percent: host?.cpuUsedPercent ?? 0 },
  };
}

/** The members of a Docker stats object that clients read, and what our workers know besides. */
function containerToV2({ name, id, memoryBytes, cpuPercent, state, health, image, restarts }: ContainerStatus): JsonObject {
  return {
    name: `/${name}`,
    id,
    memory_stats: { usage: Number(memoryBytes) },
    cpu_percent: cpuPercent,
    state: wordOf(ContainerStateSchema.value[state]?.localName),
    ...(health === ContainerHealth.UNSPECIFIED ? {} : { health: wordOf(ContainerHealthSchema.value[health]?.localName) }),
    image,
    restarts,
  };
}

function configToV2({ apps, cronJobs, groupRevision, pruneId }: Report): JsonObject {
  const names = (targets: readonly (AppStatus | CronJobStatus)[]) => targets.map(({ name }) => name);
  return {
    apps: apps.map(({ name, appliedRevision }) => ({ app_name: name, app_id: Number(appliedRevision) })),
    apps_list: names(apps),
    prune_id: Number(pruneId),
    cron_jobs: cronJobs.map(({ name, appliedRevision }) => ({ cron_job_name: name, cron_job_id: Number(appliedRevision) })),
    cron_jobs_list: names(cronJobs),
    device_group_id: Number(groupRevision),
  };
}

function megabytes(bytes = 0n): number {
  return Number(bytes / MB);
}

function wordOf(localName = "unknown"): string {
  return localName.toLowerCase();
}

function msOf(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}

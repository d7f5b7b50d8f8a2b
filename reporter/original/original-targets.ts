import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AppStatus,
  AppStatusSchema,
  ContainerState,
  type ContainerStatus,
  ContainerStatusSchema,
  type CronJobStatus,
  CronJobStatusSchema,
  TargetState,
} from "../../gen/nebula/v1/report_pb.ts";
import { isJsonObject, type JsonObject, numberAt, objectAt, objectsAt, textAt } from "./json-value.ts";

/** The config in a report. Workers of the original put the manager's whole answer there, status code and all; the config is its reply. */
export function originalConfig(report: JsonObject): JsonObject {
  const config = objectAt(report, "current_device_group_config");
  return isJsonObject(config.reply) ? config.reply : config;
}

/**
 * Returns the states of the apps on a device of the original. Its worker reports no more than which containers run, so an app is applied when as many run as its
 * containers_per says of every device, at least one.
 */
export function originalApps(report: JsonObject): AppStatus[] {
  const running = objectsAt(report, "apps_containers");
  return objectsAt(originalConfig(report), "apps").map((app) => {
    const name = textAt(app, "app_name");
    const revision = BigInt(Math.trunc(numberAt(app, "app_id")));
    const containers = containersOf(running, (container) => afterName(container, name, /^-[0-9]+$/), {
      revision,
      image: textAt(app, "docker_image"),
    });
    const wanted = app.running === false ? 0 : leastContainers(app.containers_per);
    const reason = containers.length >= wanted ? "" : `${containers.length} of at least ${wanted} containers run`;
    const state = reason === "" ? TargetState.APPLIED : TargetState.FAILED;
    return create(AppStatusSchema, { name, revision, appliedRevision: revision, state, reason, containers });
  });
}

/** Returns the states of the cron_jobs on a device of the original: its worker names those that it knows, and the runs that go on. */
export function originalCronJobs(report: JsonObject): CronJobStatus[] {
  const running = objectsAt(report, "cron_jobs_containers");
  return objectsAt(originalConfig(report), "cron_jobs").map((cronJob) => {
    const name = textAt(cronJob, "cron_job_name");
    const revision = BigInt(Math.trunc(numberAt(cronJob, "cron_job_id")));
    const made = { revision, image: textAt(cronJob, "docker_image") };
    const containers = containersOf(running, (container) => afterName(container, name, /^-[0-9]+-[0-9]+$/), made);
    return create(CronJobStatusSchema, { name, revision, appliedRevision: revision, state: TargetState.APPLIED, containers });
  });
}

/** The number of containers on every device, where it does not depend on cores and memory. */
function leastContainers(containersPer: unknown): number {
  if (!isJsonObject(containersPer)) return 1;
  return Math.max(1, Math.trunc(numberAt(containersPer, "server") || numberAt(containersPer, "instance")));
}

/**
 * Whether a container, whose name may have Docker's slash before it, is called as an app or cron_job with such an end.
 */
function afterName(container: string, name: string, end: RegExp): boolean {
  const own = container.replace(/^\//, "");
  return own.startsWith(name) && end.test(own.slice(name.length));
}

function containersOf(
  running: readonly JsonObject[],
  isOne: (container: string) => boolean,
  made: Pick<MessageInitShape<typeof ContainerStatusSchema>, "revision" | "image">,
): ContainerStatus[] {
  return running
    .filter((stats) => isOne(textAt(stats, "name")))
    .map((stats) =>
      create(ContainerStatusSchema, {
        ...made,
        name: textAt(stats, "name").replace(/^\//, ""),
        id: textAt(stats, "id"),
        state: ContainerState.RUNNING, // the original's worker asks for running ones alone
        memoryBytes: BigInt(Math.trunc(numberAt(objectAt(stats, "memory_stats"), "usage"))),
        cpuPercent: cpuPercent(stats),
      }),
    );
}

/** As `docker stats` calculates it: the container's share of the machine's time between two readings, in percent of one core. */
function cpuPercent(stats: JsonObject): number {
  const [now, before] = [objectAt(stats, "cpu_stats"), objectAt(stats, "precpu_stats")];
  const used = (reading: JsonObject) => numberAt(objectAt(reading, "cpu_usage"), "total_usage");
  const ofContainer = used(now) - used(before);
  const ofMachine = numberAt(now, "system_cpu_usage") - numberAt(before, "system_cpu_usage");
  return ofContainer > 0 && ofMachine > 0 ? (ofContainer / ofMachine) * Math.max(1, numberAt(now, "online_cpus")) * 100 : 0;
}

import { create, type JsonObject } from "@bufbuild/protobuf";
import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type CronJob, CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import type { UserGroup } from "../../gen/nebula/v1/user_group_pb.ts";
import type { User } from "../../gen/nebula/v1/user_pb.ts";
import { normaliseApp, normaliseCronJob, normaliseDeviceGroup, OUTPUT_ONLY } from "../validation/normal-form.ts";
import { containersPerToV2 } from "./containers-per.ts";
import { ownFields } from "./json-from-fields.ts";
import { objectIdOf } from "./object-id.ts";
import { startingPortsToV2 } from "./starting-ports.ts";

/** The networks of a container without networks of its own, as v2 names them. */
export const DEFAULT_NETWORKS: readonly string[] = ["nebula", "bridge"];

const CONTAINER_FIELDS = ["name", "docker_image", "running", "env_vars", "networks", "volumes", "devices", "privileged"];

/** The proto names of the fields that v2 shows in its own way, or not at all. */
export const V2_FIELDS: Readonly<Record<"app" | "cron_job" | "device_group", ReadonlySet<string>>> = {
  app: new Set([...CONTAINER_FIELDS, "starting_ports", "containers_per", "rolling_restart", ...OUTPUT_ONLY.app]),
  cron_job: new Set([...CONTAINER_FIELDS, "schedule", ...OUTPUT_ONLY.cron_job]),
  device_group: new Set(["name", "apps", "cron_jobs", ...OUTPUT_ONLY.device_group]),
};

const EMPTY_APP = normaliseApp(create(AppSchema));
const EMPTY_CRON_JOB = normaliseCronJob(create(CronJobSchema));
const EMPTY_DEVICE_GROUP = normaliseDeviceGroup(create(DeviceGroupSchema));

/** An app as v2 shows it; fields that v2 lacks under their proto names, where they are set. */
export function appToV2(app: App): JsonObject {
  const normal = normaliseApp(app);
  return {
    _id: objectIdOf("app", app.name),
    app_name: app.name,
    app_id: Number(app.revision),
    starting_ports: startingPortsToV2(app.startingPorts),
    containers_per: { ...containersPerToV2(app.containersPer) },
    ...containerToV2(normal),
    rolling_restart: app.rollingRestart,
    ...ownFields(AppSchema, normal, EMPTY_APP, V2_FIELDS.app),
  };
}

/** A cron_job as v2 shows it; fields that v2 lacks under their proto names, where they are set. */
export function cronJobToV2(cronJob: CronJob): JsonObject {
  const normal = normaliseCronJob(cronJob);
  return {
    _id: objectIdOf("cron_job", cronJob.name),
    cron_job_name: cronJob.name,
    cron_job_id: Number(cronJob.revision),
    schedule: cronJob.schedule,
    ...containerToV2(normal),
    ...ownFields(CronJobSchema, normal, EMPTY_CRON_JOB, V2_FIELDS.cron_job),
  };
}

/** A device_group as v2 shows it. */
export function deviceGroupToV2(group: DeviceGroup): JsonObject {
  return {
    _id: objectIdOf("device_group", group.name),
    device_group: group.name,
    device_group_id: Number(group.revision),
    prune_id: Number(group.pruneId),
    apps: [...group.apps],
    cron_jobs: [...group.cronJobs],
    ...ownFields(DeviceGroupSchema, normaliseDeviceGroup(group), EMPTY_DEVICE_GROUP, V2_FIELDS.device_group),
  };
}

/** A user as v2 shows it: password and token as they are stored. */
export function userToV2({ name, passwordHash, tokenHash }: User): JsonObject {
  return { _id: objectIdOf("user", name), user_name: name, password: passwordHash, token: tokenHash };
}

/** A user_group as v2 shows it. */
export function userGroupToV2(group: UserGroup): JsonObject {
  return {
    _id: objectIdOf("user_group", group.name),
    user_group: group.name,
    group_members: [...group.groupMembers],
    pruning_allowed: group.pruningAllowed,
    apps: { ...group.apps },
    device_groups: { ...group.deviceGroups },
    cron_jobs: { ...group.cronJobs },
    admin: group.admin,
  };
}

type ContainerFields = Pick<App | CronJob, "dockerImage" | "running" | "envVars" | "networks" | "volumes" | "devices" | "privileged">;

function containerToV2({ dockerImage, running, envVars, networks, volumes, devices, privileged }: ContainerFields): JsonObject {
  return {
    docker_image: dockerImage,
    running: running ?? true,
    env_vars: { ...envVars },
    networks: networks.length === 0 ? [...DEFAULT_NETWORKS] : [...networks],
    volumes: [...volumes],
    devices: [...devices],
    privileged,
  };
}

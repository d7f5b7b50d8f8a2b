import { create } from "@bufbuild/protobuf";
import type { Violation } from "../../../common/errors/nebula-error.ts";
import type { Resource, ResourceKind } from "../../../common/resources/resource.ts";
import { type App, AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { type CronJob, CronJobSchema } from "../../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { type UserGroup, UserGroupSchema } from "../../../gen/nebula/v1/user_group_pb.ts";
import { appCalls } from "./app-calls.ts";
import { cronJobCalls } from "./cron-job-calls.ts";
import { deviceGroupCalls } from "./device-group-calls.ts";
import type { Entity, EntityCalls } from "./entity-calls.ts";
import { userGroupCalls } from "./user-group-calls.ts";

/** All that the commands need to know of one kind of entity besides its flags and columns. */
export type Kind<M extends Entity> = Readonly<{
  kind: ResourceKind;
  calls: EntityCalls<M>;
  /** An entity of that name in which everything else is as given, or its default. */
  make(name: string, fields: Partial<M>): M;
  /** Its rules are loaded when they are asked for: lists and the like have no use for them. */
  validate(entity: M): Promise<Violation[]>;
  toResource(entity: M): Resource;
}>;

export const appKind: Kind<App> = {
  kind: "app",
  calls: appCalls,
  make: (name, fields) => Object.assign(create(AppSchema), fields, { name }),
  validate: async (entity) => (await import("../../../common/validation/app.ts")).validateWrittenApp(entity),
  toResource: (app) => ({ kind: "app", app }),
};

export const cronJobKind: Kind<CronJob> = {
  kind: "cron_job",
  calls: cronJobCalls,
  make: (name, fields) => Object.assign(create(CronJobSchema), fields, { name }),
  validate: async (entity) => (await import("../../../common/validation/cron-job.ts")).validateWrittenCronJob(entity),
  toResource: (cronJob) => ({ kind: "cron_job", cronJob }),
};

export const deviceGroupKind: Kind<DeviceGroup> = {
  kind: "device_group",
  calls: deviceGroupCalls,
  make: (name, fields) => Object.assign(create(DeviceGroupSchema), fields, { name }),
  validate: async (entity) => (await import("../../../common/validation/device-group.ts")).validateDeviceGroup(entity),
  toResource: (deviceGroup) => ({ kind: "device_group", deviceGroup }),
};

export const userGroupKind: Kind<UserGroup> = {
  kind: "user_group",
  calls: userGroupCalls,
  make: (name, fields) => Object.assign(create(UserGroupSchema), fields, { name }),
  validate: async (entity) => (await import("../../../common/validation/user-group.ts")).validateUserGroup(entity),
  toResource: (userGroup) => ({ kind: "user_group", userGroup }),
};

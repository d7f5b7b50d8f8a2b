import type { App } from "../../gen/nebula/v1/app_pb.ts";
import type { CronJob } from "../../gen/nebula/v1/cron_job_pb.ts";
import type { DeviceGroup } from "../../gen/nebula/v1/device_group_pb.ts";
import type { UserGroup } from "../../gen/nebula/v1/user_group_pb.ts";
import { assertNever } from "../errors/assert-never.ts";

/** One document of a resource file. */
export type Resource = Readonly<
  | { kind: "app"; app: App }
  | { kind: "cron_job"; cronJob: CronJob }
  | { kind: "device_group"; deviceGroup: DeviceGroup }
  | { kind: "user_group"; userGroup: UserGroup }
>;

export type ResourceKind = Resource["kind"];

/** The app, cron_job, device_group or user_group itself. */
export function entityOf(resource: Resource): App | CronJob | DeviceGroup | UserGroup {
  switch (resource.kind) {
    case "app":
      return resource.app;
    case "cron_job":
      return resource.cronJob;
    case "device_group":
      return resource.deviceGroup;
    case "user_group":
      return resource.userGroup;
    default:
      return assertNever(resource);
  }
}

import { type DeviceGroup, DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateShape } from "./message-shape.ts";
import { validateMembers, validateName } from "./names.ts";

const MOST_SHARDS = 1000;

/** Everything that is wrong with a device_group by itself. Whether its members exist is for the store to say. */
export function validateDeviceGroup(group: DeviceGroup): Violation[] {
  const spread = { field: "spread", description: `${group.spread} is too large; use 1 to ${MOST_SHARDS}, or 0 for 1` };
  return [
    ...validateName(group.name),
    ...validateShape(DeviceGroupSchema, group),
    ...validateMembers("apps", group.apps),
    ...validateMembers("cron_jobs", group.cronJobs),
    ...(group.spread > MOST_SHARDS ? [spread] : []),
  ];
}

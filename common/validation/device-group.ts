import { type DeviceGroup, DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateShape } from "./message-shape.ts";
import { validateName } from "./name.ts";
import { quote } from "./quote.ts";

/** The most apps, and the most cron_jobs, that a device_group names. */
const MOST_MEMBERS = 1000;
const MOST_SHARDS = 1000;

/** Everything that is wrong with a device_group by itself. Whether its members exist is for the store to say. */
export function validateDeviceGroup(group: DeviceGroup): Violation[] {
  const spread = { field: "spread", description: `${group.spread} is too large; 1 to ${MOST_SHARDS}, or 0 for 1, would do` };
  return [
    ...validateName(group.name),
    ...validateShape(DeviceGroupSchema, group),
    ...validateMembers("apps", group.apps),
    ...validateMembers("cron_jobs", group.cronJobs),
    ...(group.spread > MOST_SHARDS ? [spread] : []),
  ];
}

function validateMembers(field: "apps" | "cron_jobs", names: readonly string[]): Violation[] {
  if (names.length > MOST_MEMBERS) return [{ field, description: `has ${names.length} names; at most ${MOST_MEMBERS} would do` }];
  const seen = new Map<string, number>();
  return names.flatMap((name, index) => {
    const path = `${field}[${index}]`;
    const before = seen.get(name);
    if (before !== undefined) return [{ field: path, description: `${quote(name)} is named by ${field}[${before}] already; once is enough` }];
    seen.set(name, index);
    return validateName(name, path);
  });
}

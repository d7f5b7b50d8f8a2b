import { type UserGroup, UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { entryPath, quote } from "../text/wording.ts";
import { validateShape } from "./message-shape.ts";
import { isName, MOST_MEMBERS, validateMembers, validateName } from "./names.ts";

/** The most entries of each kind. */
const MOST = MOST_MEMBERS;

/** Stands for every name that starts with what is before it. */
const WILDCARD = "*";

/** Returns every fault of a user_group by itself. The entities that it names need not exist. */
export function validateUserGroup(group: UserGroup): Violation[] {
  return [
    ...validateName(group.name),
    ...validateShape(UserGroupSchema, group),
    ...validateMembers("group_members", group.groupMembers),
    ...validatePermissions("apps", group.apps),
    ...validatePermissions("cron_jobs", group.cronJobs),
    ...validatePermissions("device_groups", group.deviceGroups),
  ];
}

function validatePermissions(field: string, permissions: Readonly<Record<string, string>>): Violation[] {
  const entries = Object.entries(permissions);
  if (entries.length > MOST) return [{ field, description: `has ${entries.length} entries; use at most ${MOST}, or a prefix and *` }];
  return entries.flatMap(([key, level]) => [...validateKey(field, key), ...validateLevel(entryPath(field, key), level)]);
}

function validateKey(field: string, key: string): Violation[] {
  const prefix = key.endsWith(WILDCARD) ? key.slice(0, -1) : undefined;
  if (prefix === "" || isName(prefix ?? key)) return [];
  return [{ field: entryPath(field, key), description: `invalid name ${quote(key)}; use a name, the beginning of names and *, or * for all` }];
}

function validateLevel(field: string, level: string): Violation[] {
  return level === "ro" || level === "rw" ? [] : [{ field, description: `invalid permission ${quote(level)}; use ro or rw` }];
}

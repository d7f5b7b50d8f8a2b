import type { JsonValue } from "@bufbuild/protobuf";
import { parsePasswordHash } from "../../../../common/access/password-format.ts";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import type { Violation } from "../../../../common/errors/nebula-error.ts";
import { entityOf, type Resource } from "../../../../common/resources/resource.ts";
import { isDisplay } from "../../../../common/secrets/sealed-text.ts";
import { appFromV2, cronJobFromV2, deviceGroupFromV2, type FromV2, userGroupFromV2, type V2Fault } from "../../../../common/v2/entity-from-v2.ts";
import { validateApp } from "../../../../common/validation/app.ts";
import { validateCronJob } from "../../../../common/validation/cron-job.ts";
import { validateDeviceGroup } from "../../../../common/validation/device-group.ts";
import { validateName } from "../../../../common/validation/names.ts";
import { normaliseApp, normaliseCronJob, normaliseDeviceGroup, normaliseUserGroup } from "../../../../common/validation/normal-form.ts";
import { validateUserGroup } from "../../../../common/validation/user-group.ts";
import type { Original, OriginalObject } from "./original-api.ts";

/** An app, cron_job, device_group or user_group of the original. */
export type Wanted = Readonly<{
  resource: Resource;
  /** The id in the original, which the revision must reach; 0n if absent. */
  id: bigint;
  /** The prune_id of a device_group; 0n if absent. */
  pruneId: bigint;
}>;

/** A user of the original. Its token can't be copied, since a bcrypt hash has no lookup key. Another server of this project has argon2id
 * hashes of passwords. */
export type WantedUser = Readonly<{ name: string; passwordHash: string }>;

/** An object that can't be imported, and why. */
export type Refused = Readonly<{ title: string; violations: readonly Violation[] }>;

/** The contents of an original, as an import writes them. */
export type WantedContents = Readonly<{
  /** In the order in which they can be written. */
  resources: readonly Wanted[];
  users: readonly WantedUser[];
  refused: readonly Refused[];
  /** The things that are imported in another form than they had, a sentence each. */
  notes: readonly string[];
}>;

type Read = Readonly<{ title: string; wanted: Wanted; violations: readonly Violation[] }>;
/** Whether each name of the original is imported. */
type Members = Readonly<Record<"app" | "cron_job", ReadonlyMap<string, "imported" | "refused">>>;

/** Turns the objects of an original into the resources and users to write. Pure. */
export function wantedOf(original: Original): WantedContents {
  const notes: string[] = [];
  const apps = original.apps.map(readApp);
  const cronJobs = original.cron_jobs.map(readCronJob);
  const there: Members = { app: fateOf(apps), cron_job: fateOf(cronJobs) };
  const groups = original.device_groups.map((object) => readDeviceGroup(object, there, notes));
  const read = [...apps, ...cronJobs, ...groups, ...original.user_groups.map(readUserGroup)];
  const users = original.users.map(readUser);
  return {
    resources: read.filter(({ violations }) => violations.length === 0).map(({ wanted }) => wanted),
    users: users.flatMap(({ user, violations }) => (violations.length === 0 ? [user] : [])),
    refused: [...read, ...users].filter(({ violations }) => violations.length > 0).map(({ title, violations }) => ({ title, violations })),
    notes,
  };
}

function readApp({ name, fields }: OriginalObject): Read {
  const read = appFromV2(name, fields);
  const app = normaliseApp(read.message);
  return readOf({ kind: "app", app }, read, fields.app_id, [...validateApp(app), ...displayedSecrets(app.secretEnvVars)]);
}

function readCronJob({ name, fields }: OriginalObject): Read {
  const read = cronJobFromV2(name, fields);
  const cronJob = normaliseCronJob(read.message);
  return readOf({ kind: "cron_job", cronJob }, read, fields.cron_job_id, [...validateCronJob(cronJob), ...displayedSecrets(cronJob.secretEnvVars)]);
}

/**
 * Leaves out members that the original no longer has, as it does in the configs of its devices, and members that can't
 * be imported.
 */
function readDeviceGroup({ name, fields }: OriginalObject, there: Members, notes: string[]): Read {
  const read = deviceGroupFromV2(name, fields);
  const group = read.message;
  const present = (kind: "app" | "cron_job", names: readonly string[]) => {
    for (const member of names) {
      const fate = there[kind].get(member);
      if (fate !== "imported")
        notes.push(
          `device_group ${name} names the ${kind} ${member}, which ${fate === undefined ? "does not exist" : "can't be imported"}: left out`,
        );
    }
    return [...new Set(names.filter((member) => there[kind].get(member) === "imported"))];
  };
  group.apps = present("app", group.apps);
  group.cronJobs = present("cron_job", group.cronJobs);
  const deviceGroup = normaliseDeviceGroup(group);
  return readOf({ kind: "device_group", deviceGroup }, read, fields.device_group_id, validateDeviceGroup(deviceGroup), fields.prune_id);
}

function readUserGroup({ name, fields }: OriginalObject): Read {
  const read = userGroupFromV2(name, fields);
  const userGroup = normaliseUserGroup(read.message);
  return readOf({ kind: "user_group", userGroup }, read, undefined, validateUserGroup(userGroup));
}

function readUser({ name, fields }: OriginalObject): { title: string; user: WantedUser; violations: readonly Violation[] } {
  const hash = typeof fields.password === "string" ? fields.password : "";
  const violations = [
    ...validateName(name),
    ...(parsePasswordHash(hash) === undefined
      ? [{ field: "password", description: "is not a valid bcrypt hash: set a new password there, or create the user here" }]
      : []),
  ];
  return { title: `user ${name}`, user: { name, passwordHash: hash }, violations };
}

/** Secret values that are only shown as a keyed hash, by another server of this project. */
function displayedSecrets(secrets: Readonly<Record<string, string>>): Violation[] {
  return Object.entries(secrets)
    .filter(([, value]) => isDisplay(value))
    .map(([variable]) => ({
      field: `secret_env_vars.${variable}`,
      description: "is never shown, so it can't be copied: create it here, with the value",
    }));
}

function readOf<M>(
  resource: Resource,
  { faults }: FromV2<M>,
  id: JsonValue | undefined,
  violations: readonly Violation[],
  pruneId?: JsonValue | undefined,
): Read {
  const shape = faults.map(describeFault);
  return {
    title: `${resource.kind} ${entityOf(resource).name}`,
    wanted: { resource, id: numberOf(id), pruneId: numberOf(pruneId) },
    violations: shape.length > 0 ? shape : violations,
  };
}

function describeFault(fault: V2Fault): Violation {
  switch (fault.kind) {
    case "ports_shape":
      return { field: "starting_ports", description: "must be a list of ports and {host port: container port}" };
    case "port":
      return { field: "starting_ports", description: "has an invalid port: use 1 to 65535" };
    case "no_list":
      return { field: fault.field, description: "must be a list of names" };
    case "invalid":
      return fault.violation;
    default:
      return assertNever(fault);
  }
}

function numberOf(value: JsonValue | undefined): bigint {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? BigInt(value) : 0n;
}

function fateOf(read: readonly Read[]): ReadonlyMap<string, "imported" | "refused"> {
  return new Map(read.map(({ wanted: { resource }, violations }) => [entityOf(resource).name, violations.length === 0 ? "imported" : "refused"]));
}

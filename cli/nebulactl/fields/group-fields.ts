import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { permissionsOf } from "../../../common/v2/original-cli-values.ts";
import type { DeviceGroup } from "../../../gen/nebula/v1/device_group_pb.ts";
import type { UserGroup } from "../../../gen/nebula/v1/user_group_pb.ts";
import type { Names, TextFlag } from "../command/flags.ts";
import { type Field, listField, numberField, toggleField } from "./field.ts";

/** The fields that `device-groups create` and `update` set. */
export const deviceGroupFields: readonly Field<DeviceGroup>[] = [
  listField(
    "apps",
    {
      name: "apps",
      short: "a",
      placeholder: "A,B",
      offers: { names: "app" },
      help: "Its apps, in order: the first one gets a host port that several claim.",
    },
    (apps) => ({ apps }),
  ),
  listField(
    "cron_jobs",
    { name: "cron-jobs", short: "c", placeholder: "A,B", offers: { names: "cron_job" }, help: "Its cron_jobs." },
    (cronJobs) => ({ cronJobs }),
  ),
  numberField(
    "spread",
    { name: "spread", placeholder: "N", min: 0, integer: true, help: "The number of managers that share its devices. Default: 1." },
    (spread) => ({ spread }),
  ),
];

type Permissions = Pick<UserGroup, "apps" | "cronJobs" | "deviceGroups">;

/** The subject of permissions: its field, and the flag that replaces all of them. */
type Subject = Readonly<{
  field: "apps" | "cron_jobs" | "device_groups";
  key: keyof Permissions;
  /** The word for one subject in --grant. */
  word: string;
  flag: TextFlag;
}>;

const SUBJECTS: readonly Subject[] = [
  { field: "apps", key: "apps", word: "app", flag: wholeFlag("apps", "a", "app") },
  { field: "cron_jobs", key: "cronJobs", word: "cron_job", flag: wholeFlag("cron-jobs", "c", "cron_job") },
  { field: "device_groups", key: "deviceGroups", word: "device_group", flag: wholeFlag("device-groups", "d", "device_group", ["device-group"]) },
];

const GRANT: TextFlag = {
  kind: "text",
  name: "grant",
  placeholder: "KIND/NAME:ro|rw",
  repeatable: true,
  help: "One permission, as app/web:rw, cron_job/backup-*:ro or device_group/pos:ro; on update the others stay. Repeat it for more.",
};
const REVOKE: TextFlag = {
  kind: "text",
  name: "revoke",
  placeholder: "KIND/NAME",
  repeatable: true,
  help: "On update: removes one permission.",
};

const membersField = listField<UserGroup>(
  "group_members",
  {
    name: "group-members",
    aliases: ["members"],
    short: "m",
    placeholder: "A,B",
    offers: { names: "user" },
    help: "Its members; on update these replace all others.",
  },
  (groupMembers) => ({ groupMembers }),
);
const pruningField = toggleField<UserGroup>(
  "pruning_allowed",
  {
    name: "pruning-allowed",
    aliases: ["pruning"],
    short: "P",
    off: "pruning-not-allowed",
    offAliases: ["no-pruning"],
    offShort: "N",
    help: "Members may prune the device_groups that they may read.",
  },
  (pruningAllowed) => ({ pruningAllowed }),
);
const adminField = toggleField<UserGroup>(
  "admin",
  { name: "admin", short: "A", off: "no-admin", offAliases: ["user"], offShort: "U", help: "Members may do everything." },
  (admin) => ({ admin }),
);

/**
 * Permissions: as a whole (`--apps web:rw,db:ro`), or single ones (`--grant`, `--revoke`), which leave the others
 * unchanged.
 */
const permissionsField: Field<UserGroup> = {
  flags: [...SUBJECTS.map(({ flag }) => flag), GRANT, REVOKE],
  read(values) {
    const paths: string[] = [];
    const permissions = { apps: new Map<string, string>(), cronJobs: new Map<string, string>(), deviceGroups: new Map<string, string>() };
    for (const { field, key, flag } of SUBJECTS) {
      if (!values.has(flag)) continue;
      for (const [name, level] of values.all(flag).flatMap(parsePermissions)) permissions[key].set(name, level);
      paths.push(field);
    }
    for (const { subject, name, level } of [...values.all(GRANT).map(parseGrant), ...values.all(REVOKE).map(parseRevoke)]) {
      if (level === undefined) permissions[subject.key].delete(name);
      else permissions[subject.key].set(name, level);
      if (!paths.includes(subject.field)) paths.push(`${subject.field}.${name}`);
    }
    if (paths.length === 0) return undefined;
    const { apps, cronJobs, deviceGroups } = permissions;
    const value: Permissions = {
      apps: Object.fromEntries(apps),
      cronJobs: Object.fromEntries(cronJobs),
      deviceGroups: Object.fromEntries(deviceGroups),
    };
    return { paths, value };
  },
};

/** The fields that `user-groups update` changes. */
export const userGroupFieldsOfUpdate: readonly Field<UserGroup>[] = [membersField, permissionsField, pruningField, adminField];

/** The same for `create`, which has nothing to revoke. */
export const userGroupFieldsOfCreate: readonly Field<UserGroup>[] = userGroupFieldsOfUpdate.map((field) => ({
  ...field,
  flags: field.flags.filter((flag) => flag !== REVOKE),
}));

/** `web:rw,db`: a name without a level has the smaller right. `""`, `[]` and `{}` are the empty map. */
function parsePermissions(text: string): [name: string, level: string][] {
  const trimmed = text.trim();
  if (["", "[]", "{}"].includes(trimmed)) return [];
  return Object.entries(permissionsOf(trimmed.split(",").map((item) => item.trim())));
}

function wholeFlag(name: string, short: string, kind: Names, aliases: readonly string[] = []): TextFlag {
  const help = `Permissions on ${kind}s: by name, by the beginning of names and *, or * for all; ro where no level is given. On update these replace all that are.`;
  return { kind: "text", name, aliases, short, repeatable: true, placeholder: "A:rw,B-*:ro", offers: { names: kind }, help };
}

/** `level` undefined: it is taken away. */
type Grant = Readonly<{ subject: Subject; name: string; level: string | undefined }>;

function parseGrant(text: string): Grant {
  const at = text.lastIndexOf(":");
  const level = text.slice(at + 1);
  if (at < 0 || (level !== "ro" && level !== "rw")) {
    throw new NebulaError("invalid_argument", `invalid --grant "${text}": use KIND/NAME:ro or KIND/NAME:rw, such as app/web:rw`);
  }
  return { ...parseSubject(text.slice(0, at), "--grant"), level };
}

function parseRevoke(text: string): Grant {
  return { ...parseSubject(text, "--revoke"), level: undefined };
}

function parseSubject(text: string, label: string): Omit<Grant, "level"> {
  const [word = "", ...rest] = text.split("/");
  const name = rest.join("/");
  const subject = SUBJECTS.find((known) => [known.word, known.field].includes(word.replaceAll("-", "_")));
  if (subject === undefined || name === "") {
    throw new NebulaError("invalid_argument", `invalid ${label} "${text}": use app/NAME, cron_job/NAME or device_group/NAME`);
  }
  return { subject, name };
}

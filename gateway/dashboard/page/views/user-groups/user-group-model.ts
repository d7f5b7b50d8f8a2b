/** The part of the API's answers that the views of user_groups show. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { printableLine } from "../../../../../common/printable.ts";
import type { ListUserGroupsResponse, UserGroup } from "../../../../../gen/nebula/v1/user_group_pb.ts";

/** One kind of right, and what it is on. */
export type Right = Readonly<{
  /** `Read and change`, `Read`, `Prune`, `Everything`. */
  verb: string;
  /** Of what: `apps`. Empty: the verb says it. */
  kind: string;
  /** Names, and beginnings of names with a `*`; empty: all of them, or the verb says it. */
  names: readonly string[];
}>;

const KINDS = [
  ["apps", "apps"],
  ["cronJobs", "cron_jobs"],
  ["deviceGroups", "device_groups"],
] as const;
const LEVELS = [
  ["rw", "Read and change"],
  ["ro", "Read"],
] as const;

/** The rights that a user_group grants, the most first; empty if there are none. */
export function rightsOf(group: UserGroup): readonly Right[] {
  if (group.admin) return [{ verb: "Everything, as an admin", kind: "", names: [] }];
  const granted = LEVELS.flatMap(([level, verb]) =>
    KINDS.flatMap(([field, kind]): Right[] => {
      const names = namesWith(group[field], level);
      if (names.length === 0) return [];
      return [names.includes("*") ? { verb, kind: `all ${kind}`, names: [] } : { verb, kind, names }];
    }),
  );
  return group.pruningAllowed ? [...granted, { verb: "Prune the device_groups that it may read", kind: "", names: [] }] : granted;
}

function namesWith(permissions: Readonly<Record<string, string>>, level: string): readonly string[] {
  return Object.entries(permissions)
    .filter(([, granted]) => granted === level)
    .map(([name]) => printableLine(name))
    .sort();
}

/** The names that a line of rights shows. */
const SHOWN_NAMES = 3;

/** The rights in one line: `read and change apps shop-*; read all device_groups`. */
export function rightsLine(rights: readonly Right[]): string {
  const texts = rights.map(({ verb, kind, names }) => {
    const shown = names.length > SHOWN_NAMES ? [...names.slice(0, SHOWN_NAMES), `${names.length - SHOWN_NAMES} more`] : names;
    return [verb.toLowerCase(), kind, shown.join(", ")].filter((text) => text !== "").join(" ");
  });
  return texts.length === 0 ? "nothing" : texts.join("; ");
}

export type UserGroupLine = Readonly<{
  name: string;
  revision: bigint;
  members: number;
  rights: string;
  by: string;
  at: number | undefined;
}>;

export function userGroupLines({ userGroups, lastChanges }: ListUserGroupsResponse): readonly UserGroupLine[] {
  return userGroups.map((group, index) => {
    const { at, by = "" } = lastChanges[index] ?? {};
    return {
      name: group.name,
      revision: group.revision,
      members: group.groupMembers.length,
      rights: rightsLine(rightsOf(group)),
      by: printableLine(by),
      at: at === undefined ? undefined : timestampMs(at),
    };
  });
}

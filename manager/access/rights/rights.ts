import type { EntityKey, EntityKind } from "../../../common/storage/config-store.ts";
import type { UserGroup } from "../../../gen/nebula/v1/user_group_pb.ts";

type Level = "ro" | "rw";

/** The permissions on the entities of one kind. */
type Grants = Readonly<{
  byName: ReadonlyMap<string, Level>;
  /** From `prefix*`, and from `*`, whose prefix is empty; one entry per prefix. */
  byPrefix: ReadonlyMap<string, Level>;
}>;

/** The rights of a user. Immutable: changed rights are another object. */
export type Rights = Readonly<{
  /** May do everything. */
  admin: boolean;
  /** May prune every device_group that it may read. */
  pruning: boolean;
  grants: Readonly<Record<EntityKind, Grants>>;
}>;

const NOTHING: Grants = { byName: new Map(), byPrefix: new Map() };

/** The rights of a user whom no user_group names. */
export const NO_RIGHTS: Rights = { admin: false, pruning: false, grants: { app: NOTHING, cron_job: NOTHING, device_group: NOTHING } };

/** The rights of an admin. */
export const ADMIN_RIGHTS: Rights = { ...NO_RIGHTS, admin: true };

export type GrantingGroup = Pick<UserGroup, "admin" | "pruningAllowed" | "apps" | "cronJobs" | "deviceGroups">;

/** Returns the union of the rights of these user_groups: the most that any of them grants. A level that is neither ro nor rw grants nothing. */
export function rightsOf(groups: readonly GrantingGroup[]): Rights {
  return {
    admin: groups.some(({ admin }) => admin),
    pruning: groups.some(({ pruningAllowed }) => pruningAllowed),
    grants: {
      app: sumOf(groups.map(({ apps }) => apps)),
      cron_job: sumOf(groups.map(({ cronJobs }) => cronJobs)),
      device_group: sumOf(groups.map(({ deviceGroups }) => deviceGroups)),
    },
  };
}

function sumOf(permissions: readonly Readonly<Record<string, string>>[]): Grants {
  const byName = new Map<string, Level>();
  const byPrefix = new Map<string, Level>();
  for (const [pattern, level] of permissions.flatMap((each) => Object.entries(each))) {
    if (level !== "ro" && level !== "rw") continue;
    const isPrefix = pattern.endsWith("*");
    const grants = isPrefix ? byPrefix : byName;
    const name = isPrefix ? pattern.slice(0, -1) : pattern;
    if (grants.get(name) !== "rw") grants.set(name, level);
  }
  return { byName, byPrefix };
}

/** Whether `ro` is granted on the entity, by rw too. */
export function mayRead(rights: Rights, { kind, name }: EntityKey): boolean {
  if (rights.admin) return true;
  const { byName, byPrefix } = rights.grants[kind];
  if (byName.has(name)) return true;
  for (const prefix of byPrefix.keys()) if (name.startsWith(prefix)) return true;
  return false;
}

/** Names that lie next to each other: one, or all that begin with a prefix. */
export type NameRange = Readonly<{
  /** A text before the range, with no other name in between. */
  after: string;
  has(name: string): boolean;
}>;

/** The names of a kind that `ro` is granted on, in ranges that are sorted and do not overlap. */
export function readableRanges(rights: Rights, kind: EntityKind): readonly NameRange[] {
  const { byName, byPrefix } = rights.grants[kind];
  const prefixes = rights.admin ? [""] : [...byPrefix.keys()];
  const isCovered = (text: string) => prefixes.some((prefix) => prefix !== text && text.startsWith(prefix));
  const ofPrefixes = prefixes
    .filter((prefix) => !isCovered(prefix))
    .map((prefix) => ({ first: prefix, has: (name: string) => name.startsWith(prefix) }));
  const ofNames = [...byName.keys()]
    .filter((name) => !isCovered(name) && !prefixes.includes(name))
    .map((name) => ({ first: name, has: (other: string) => other === name }));
  return [...ofPrefixes, ...ofNames].sort((a, b) => (a.first < b.first ? -1 : 1)).map(({ first, has }) => ({ after: justBefore(first), has }));
}

/** Behind all characters of names. */
const LAST = "\u007f";

/** A text that sorts before this one, with no name between the two. */
function justBefore(text: string): string {
  return text === "" ? "" : `${text.slice(0, -1)}${String.fromCharCode(text.charCodeAt(text.length - 1) - 1)}${LAST}`;
}

/** Whether `rw` is granted on the entity. */
export function mayWrite(rights: Rights, { kind, name }: EntityKey): boolean {
  if (rights.admin) return true;
  const { byName, byPrefix } = rights.grants[kind];
  if (byName.get(name) === "rw") return true;
  for (const [prefix, level] of byPrefix) if (level === "rw" && name.startsWith(prefix)) return true;
  return false;
}

/**
 * Whether there are names of the kind that may be created: those of a prefix with `rw`, or a single name with `rw` that does not exist yet.
 * @param exists whether there is an entity of a single name
 */
export function mayCreate(rights: Rights, kind: EntityKind, exists: (name: string) => boolean): boolean {
  if (rights.admin) return true;
  const { byName, byPrefix } = rights.grants[kind];
  return [...byPrefix.values()].includes("rw") || [...byName].some(([name, level]) => level === "rw" && !exists(name));
}

/** Whether the device_group may be pruned: by rw on it, or by ro together with pruning_allowed. */
export function mayPrune(rights: Rights, deviceGroup: string): boolean {
  const entity = { kind: "device_group", name: deviceGroup } as const;
  return mayWrite(rights, entity) || (rights.pruning && mayRead(rights, entity));
}

/** The device_group of that name, as an entity that rights are on. */
export function groupKey(deviceGroup: string): EntityKey {
  return { kind: "device_group", name: deviceGroup };
}

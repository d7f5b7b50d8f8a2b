import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { mapLimited } from "../../common/map-limited.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import type { EntityKey } from "../../common/storage/config-store.ts";
import { listed } from "../../common/text/wording.ts";
import type { UserGroup } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Principal } from "../access/principal.ts";
import { readableBy } from "../access/rights/visible-pages.ts";
import type { EntityDeps } from "./write-entity.ts";

/**
 * Returns a warning after the create of an entity if the caller may read others of its kind whose names differ in case
 * alone.
 */
export function warningsOfName({ configStore, log }: Pick<EntityDeps, "configStore" | "log">, key: EntityKey, caller: Principal): Promise<string[]> {
  const isVisible = readableBy<string>(caller, key.kind, (name) => name) ?? (() => true);
  return warningsOfOthers(key, async () => (await configStore.namesInOtherCase(key)).filter(isVisible), log);
}

/** The same for any kind. */
export function warningsOfOthers(
  { kind, name }: Readonly<{ kind: string; name: string }>,
  read: () => Promise<readonly string[]>,
  log: Log,
): Promise<string[]> {
  return readWarnings({ log }, async () => {
    const others = await read();
    if (others.length === 0) return [];
    return [`${kind} ${name} differs in case alone from ${listed(others)}: if it is meant to be the same, delete one of them`];
  });
}

/** Returns the warnings about a write that is done: a store that fails now costs the warnings, not the answer. */
export async function readWarnings({ log }: Readonly<{ log: Log }>, read: () => Promise<string[]>): Promise<string[]> {
  try {
    return await read();
  } catch (error) {
    log.warn({ error: messageOf(error) }, "the warnings about a change could not be read");
    return [];
  }
}

/** Returns the warning about something that names others of one kind which do not exist; none where all exist. */
export function missingNames(owner: string, kind: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const which = names.length === 1 ? `the ${kind} ${names[0]}, which does not exist` : `${kind}s that do not exist: ${listed(names)}`;
  return [`${owner} names ${which}`];
}

// --- names of users

/** Users that are read at the same time. */
const READS = 8;

export type MembersRead = Readonly<{
  accessStore: Pick<AccessStore, "getUser">;
  /** The name of the configuration's admin, who is in no store. */
  localAdmin: string;
}>;

/** Returns a warning about members of a user_group that are no users: they grant nothing until they are. Rejects where the store does not answer. */
export async function memberWarnings({ accessStore, localAdmin }: MembersRead, group: UserGroup, signal: AbortSignal): Promise<string[]> {
  const members = group.groupMembers.filter((member) => member !== localAdmin);
  const users = await mapLimited(members, READS, (member) => accessStore.getUser(member, signal));
  const missing = members.filter((_, index) => users[index]?.deleted !== false);
  return missingNames(`user_group ${group.name}`, "user", missing);
}

/** Returns a warning about a user that no user_group names. @param groups the names of its user_groups */
export function groupsWarnings(user: string, groups: readonly string[]): string[] {
  if (groups.length > 0) return [];
  return [`user ${user} is in no user_group, so it may read and change nothing: nebulactl user-groups create GROUP --group-members ${user}`];
}

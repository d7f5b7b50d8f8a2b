import { Code, ConnectError } from "@connectrpc/connect";
import { DeviceGroupService } from "../../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../../gen/nebula/v1/device_pb.ts";
import type { CommandContext } from "../command/context.ts";
import { deviceGroupCalls } from "../entities/device-group-calls.ts";
import type { Call } from "../entities/entity-calls.ts";
import { allPages } from "../entities/pages.ts";
import { userGroupCalls } from "../entities/user-group-calls.ts";

/** Who uses what is about to be deleted, of one kind. */
export type Use = Readonly<{
  /** `device_group`, as a person counts it. */
  kind: string;
  names: readonly string[];
  /** There are more than `names` holds. */
  more: boolean;
  /** What becomes of the users: `their devices remove its containers`. */
  consequence: string;
}>;

/** Finds who uses the thing of a name. undefined: nobody, as far as this login may see. */
export type FindUse = (call: Call, name: string) => Promise<Use | undefined>;

/** The names that a question shows; the rest is counted. */
const SHOWN = 5;
/** One page is enough to know that something is in use. */
const PAGE = 1000;

/** The device_groups that an app is in. */
export const groupsWithApp: FindUse = (call, name) => groupsWith(call, ({ apps }) => apps.includes(name), "their devices remove its containers");

/** The device_groups that a cron_job is in. */
export const groupsWithCronJob: FindUse = (call, name) => groupsWith(call, ({ cronJobs }) => cronJobs.includes(name), "their devices run it no more");

/** The devices that report from a device_group. */
export const devicesOfGroup: FindUse = ({ client, signal }, name) =>
  visible(async () => {
    const { devices, nextPageToken } = await (await client(DeviceService)).listDevices({ deviceGroup: name, pageSize: PAGE }, { signal });
    const names = devices.map(({ deviceId }) => deviceId);
    return use("device", names, "they keep what they run, and get no config", nextPageToken !== "");
  });

/** The user_groups that a user is a member of. */
export const groupsOfUser: FindUse = (call, name) =>
  visible(async () => {
    const names: string[] = [];
    for await (const group of allPages((size, token) => userGroupCalls.page(call, size, token))) {
      if (group.groupMembers.includes(name)) names.push(group.name);
    }
    return use("user_group", names, "what they grant is granted to one user less");
  });

/** The members of a user_group. */
export const membersOfGroup: FindUse = (call, name) =>
  visible(async () => {
    const { entity } = await userGroupCalls.get(call, name);
    return use("member", entity.groupMembers, "they lose what it grants");
  });

/** `app web is in use by 2 device_groups (pos, till); their devices remove its containers`. */
export function useText(what: string, { kind, names, more, consequence }: Use): string {
  const count = `${names.length}${more ? " or more" : ""}`;
  const shown = `${names.slice(0, SHOWN).join(", ")}${names.length > SHOWN || more ? ", ..." : ""}`;
  return `${what} is in use by ${count} ${kind}${names.length === 1 && !more ? "" : "s"} (${shown}); ${consequence}`;
}

/**
 * A list of what belongs to a device_group; one without items, of a group that does not exist, rejects with the server's NOT_FOUND: a misspelled name is
 * no empty list.
 * @param group undefined: the list is of all groups
 */
export async function* ofExistingGroup<T>(
  items: AsyncIterable<T>,
  group: string | undefined,
  { client, signal }: Pick<CommandContext, "client" | "signal">,
): AsyncGenerator<T> {
  let empty = true;
  for await (const item of items) {
    empty = false;
    yield item;
  }
  if (!empty || group === undefined) return;
  await visible(async () => (await client(DeviceGroupService)).getDeviceGroup({ name: group }, { signal }), [Code.PermissionDenied]);
}

async function groupsWith(
  call: Call,
  has: (group: { apps: string[]; cronJobs: string[] }) => boolean,
  consequence: string,
): Promise<Use | undefined> {
  return await visible(async () => {
    const names: string[] = [];
    for await (const group of allPages((size, token) => deviceGroupCalls.page(call, size, token))) if (has(group)) names.push(group.name);
    return use("device_group", names, consequence);
  });
}

function use(kind: string, names: readonly string[], consequence: string, more = false): Use | undefined {
  return names.length === 0 ? undefined : { kind, names, more, consequence };
}

/** What a login may not see, or what does not exist, is not in use as far as it is concerned: the delete itself is refused, then. */
async function visible<T>(read: () => Promise<T>, unseen: readonly Code[] = [Code.PermissionDenied, Code.NotFound]): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ConnectError && unseen.includes(error.code)) return undefined;
    throw error;
  }
}

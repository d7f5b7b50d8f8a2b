import { Code } from "@connectrpc/connect";
import { DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { allPages } from "../lists/pages.ts";
import type { FindUse, Use } from "./confirm-delete.ts";
import { deviceGroupKind } from "./device-group-kind.ts";
import type { Call } from "./kind.ts";
import { userGroupKind } from "./user-group-kind.ts";

/** One page that is not empty shows that something is in use. */
const PAGE = 1000;
/** Refusals of a count after which the question is asked without the number. */
const UNCOUNTED = [Code.NotFound, Code.PermissionDenied, Code.ResourceExhausted, Code.Unimplemented];
/** The most device_groups whose devices a question counts. */
const MOST_COUNTED = 20;

/** The device_groups that an app is in. */
export const groupsWithApp: FindUse = (call, name) => groupsWith(call, ({ apps }) => apps.includes(name), `devices remove the containers of ${name}`);

/** The device_groups that a cron_job is in. */
export const groupsWithCronJob: FindUse = (call, name) => groupsWith(call, ({ cronJobs }) => cronJobs.includes(name), `devices stop running ${name}`);

/** The devices that report from a device_group. */
export const devicesOfGroup: FindUse = ({ client, signal }, name) =>
  visible(async () => {
    const service = await client(DeviceService);
    for (let pageToken = ""; ; ) {
      const { devices, nextPageToken } = await service.listDevices({ deviceGroup: name, pageSize: PAGE, pageToken, summariesOnly: true }, { signal });
      const names = devices.map(({ deviceId }) => deviceId);
      // an empty page may have a next one
      const more = nextPageToken !== "";
      const isOne = names.length === 1 && !more;
      if (names.length > 0 || !more)
        return use("device", names, `${isOne ? "it keeps its" : "they keep their"} containers and ${isOne ? "gets" : "get"} no config`, more);
      pageToken = nextPageToken;
    }
  });

/** The user_groups that a user is a member of. */
export const groupsOfUser: FindUse = (call, name) =>
  visible(async () => {
    const names: string[] = [];
    for await (const group of allPages((size, token) => userGroupKind.calls.page(call, size, token))) {
      if (group.groupMembers.includes(name)) names.push(group.name);
    }
    return use("user_group", names, `the user loses what ${names.length === 1 ? "it grants" : "they grant"}`);
  });

/** The members of a user_group. */
export const membersOfGroup: FindUse = (call, name) =>
  visible(async () => {
    const { entity } = await userGroupKind.calls.get(call, name);
    return use("member", entity.groupMembers, `${entity.groupMembers.length === 1 ? "the member loses" : "the members lose"} what it grants`);
  });

/** @param effect of the delete on the devices of these groups: `devices stop running backup` */
async function groupsWith(call: Call, has: (group: { apps: string[]; cronJobs: string[] }) => boolean, effect: string): Promise<Use | undefined> {
  return await visible(async () => {
    const names: string[] = [];
    for await (const group of allPages((size, token) => deviceGroupKind.calls.page(call, size, token))) if (has(group)) names.push(group.name);
    const found = use("device_group", names, `${names.length === 1 ? "its" : "their"} ${effect}`);
    return found === undefined ? undefined : { ...found, devices: await devicesIn(call, names) };
  });
}

/** The devices of these groups; undefined if they cannot be counted, or the groups are too many. */
async function devicesIn({ client, signal }: Call, groups: readonly string[]): Promise<bigint | undefined> {
  if (groups.length > MOST_COUNTED) return undefined;
  const service = await client(DeviceService);
  let devices = 0n;
  for (const deviceGroup of groups) {
    const answer = await unlessRefused(service.countDevices({ deviceGroup }, { signal }), ...UNCOUNTED);
    if (answer === undefined) return undefined;
    devices += answer.deviceGroups[0]?.devices ?? 0n;
  }
  return devices;
}

function use(kind: string, names: readonly string[], consequence: string, more = false): Use | undefined {
  return names.length === 0 ? undefined : { kind, names, more, consequence };
}

/** Undefined if the login may not read it, or it does not exist: then the delete itself is refused. */
function visible<T>(read: () => Promise<T>): Promise<T | undefined> {
  return unlessRefused(read(), Code.PermissionDenied, Code.NotFound);
}

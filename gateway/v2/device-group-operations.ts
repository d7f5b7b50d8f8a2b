import type { JsonObject } from "@bufbuild/protobuf";
import { deviceGroupFromV2 } from "../../common/v2/entity-from-v2.ts";
import { deviceGroupToV2 } from "../../common/v2/entity-to-v2.ts";
import { validateDeviceGroup } from "../../common/validation/device-group.ts";
import { type DeviceGroup, DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { entityOperations, NOTHING_GIVEN, refusal } from "./entity-operations.ts";
import { named } from "./openapi/schemas.ts";
import type { Operation } from "./operation.ts";
import { DEVICE_GROUPS, inWords, present, refuseFaults, refuseNothing, refuseViolations } from "./v2-answers.ts";

const { createDeviceGroup, getDeviceGroup, listDeviceGroups, updateDeviceGroup, deleteDeviceGroup, prune } = DeviceGroupService.method;
const MISSING = { device_group_exists: false };
/** The answer of v2 for a device_group that does not exist, at a POST update and at a prune. */
const ODDLY_MISSING = { app_exists: false };
const MEMBERS = { apps: { app_exists: false }, cron_jobs: { cron_job_exists: false } };
const { nameField } = DEVICE_GROUPS;

/** The operations of device_groups, except /info. */
export const DEVICE_GROUP_OPERATIONS: readonly Operation[] = [
  ...entityOperations({
    noun: DEVICE_GROUPS,
    async list(call, page) {
      const { deviceGroups, nextPageToken } = await call(listDeviceGroups, page);
      return { names: deviceGroups.map(({ name }) => name), nextPageToken };
    },
    get: async (call, name) => shown(await call(getDeviceGroup, { name })),
    create: async (call, name, body) => shown(await call(createDeviceGroup, { deviceGroup: groupOf(name, body).message })),
    remove: (call, name) => call(deleteDeviceGroup, { name }),
    async change(call, name, body) {
      const { message: deviceGroup, given } = groupOf(name, body);
      return shown(await call(updateDeviceGroup, { deviceGroup, updateFields: [...given], redeploy: true }));
    },
    async replace(call, name, body) {
      refuseNothing(body); // a body that was lost in transit must not empty a group
      return shown(await call(updateDeviceGroup, { deviceGroup: groupOf(name, body).message, updateFields: ["*"], redeploy: true }));
    },
    updated: { status: 202, missing: { change: MISSING, replace: ODDLY_MISSING } },
    members: MEMBERS,
    refusals: {
      given: [
        refusal(403, "An app that is named is not there.", MEMBERS.apps),
        refusal(403, "A cron_job that is named is not there.", MEMBERS.cron_jobs),
        refusal(400, "apps is not a list.", { apps_is_list: false }),
        refusal(400, "cron_jobs is not a list.", { cron_jobs_is_list: false }),
      ],
      whole: [],
      replace: [NOTHING_GIVEN],
    },
  }),
  {
    method: "POST",
    path: `/device_groups/{${nameField}}/prune`,
    id: "pruneDeviceGroup",
    summary: "Has each device of the group remove its unused images once.",
    answers: [
      { status: 202, description: "The device_group, its prune_id one higher.", schema: named(DEVICE_GROUPS.schema) },
      refusal(403, "There is no such device_group.", ODDLY_MISSING),
    ],
    handle: ({ call, parameter }) =>
      inWords({ nameField, missing: ODDLY_MISSING }, async () => ({ status: 202, body: shown(await call(prune, { name: parameter(nameField) })) })),
  },
];

/** Faults of the group itself are refused here, so a later refusal of a member by a manager means that it does not exist. */
function groupOf(name: string, body: JsonObject) {
  const read = deviceGroupFromV2(name, body);
  refuseFaults(read.faults);
  refuseViolations(validateDeviceGroup(read.message).filter(({ field }) => field !== "name"));
  return read;
}

function shown({ deviceGroup }: Readonly<{ deviceGroup?: DeviceGroup | undefined }>): JsonObject {
  return deviceGroupToV2(present(deviceGroup, "device_group"));
}

import { create } from "@bufbuild/protobuf";
import { type DeviceGroup, DeviceGroupSchema, DeviceGroupService } from "../../../../gen/nebula/v1/device_group_pb.ts";
import { answered, condition, type EntityCalls, type Kind } from "./kind.ts";

const deviceGroupCalls: EntityCalls<DeviceGroup> = {
  async create({ client, signal }, deviceGroup, minimums = {}) {
    const answer = await (await client(DeviceGroupService)).createDeviceGroup({ deviceGroup, ...minimums }, { signal });
    return { entity: answered(answer.deviceGroup, "device_group"), warnings: answer.warnings };
  },
  async get({ client, signal }, name) {
    const answer = await (await client(DeviceGroupService)).getDeviceGroup({ name }, { signal });
    return { entity: answered(answer.deviceGroup, "device_group"), lastChange: answer.lastChange };
  },
  async page({ client, signal }, pageSize, pageToken) {
    const { deviceGroups, nextPageToken } = await (await client(DeviceGroupService)).listDeviceGroups({ pageSize, pageToken }, { signal });
    return { items: deviceGroups, nextPageToken };
  },
  async update({ client, signal }, { entity: deviceGroup, paths, ifRevision, redeploy = false, minimums = {} }) {
    const request = { deviceGroup, updateFields: [...paths], redeploy, ...condition(ifRevision), ...minimums };
    const answer = await (await client(DeviceGroupService)).updateDeviceGroup(request, { signal });
    return { entity: answered(answer.deviceGroup, "device_group"), warnings: answer.warnings };
  },
  async remove({ client, signal }, name, ifRevision) {
    const { revision } = await (await client(DeviceGroupService)).deleteDeviceGroup({ name, ...condition(ifRevision) }, { signal });
    return { revision, warnings: [] };
  },
};

export const deviceGroupKind: Kind<DeviceGroup> = {
  kind: "device_group",
  calls: deviceGroupCalls,
  make: (name, fields) => Object.assign(create(DeviceGroupSchema), fields, { name }),
  validate: async (entity) => (await import("../../../../common/validation/device-group.ts")).validateDeviceGroup(entity),
  toResource: (deviceGroup) => ({ kind: "device_group", deviceGroup }),
};

import { create } from "@bufbuild/protobuf";
import { type UserGroup, UserGroupSchema, UserGroupService } from "../../../../gen/nebula/v1/user_group_pb.ts";
import { answered, condition, type EntityCalls, type Kind } from "./kind.ts";

const userGroupCalls: EntityCalls<UserGroup> = {
  async create({ client, signal }, userGroup) {
    const answer = await (await client(UserGroupService)).createUserGroup({ userGroup }, { signal });
    return { entity: answered(answer.userGroup, "user_group"), warnings: answer.warnings };
  },
  async get({ client, signal }, name) {
    const answer = await (await client(UserGroupService)).getUserGroup({ name }, { signal });
    return { entity: answered(answer.userGroup, "user_group"), lastChange: answer.lastChange };
  },
  async page({ client, signal }, pageSize, pageToken) {
    const { userGroups, nextPageToken } = await (await client(UserGroupService)).listUserGroups({ pageSize, pageToken }, { signal });
    return { items: userGroups, nextPageToken };
  },
  async update({ client, signal }, { entity: userGroup, paths, ifRevision }) {
    const answer = await (await client(UserGroupService)).updateUserGroup(
      { userGroup, updateFields: [...paths], ...condition(ifRevision) },
      { signal },
    );
    return { entity: answered(answer.userGroup, "user_group"), warnings: answer.warnings };
  },
  async remove({ client, signal }, name, ifRevision) {
    const { revision } = await (await client(UserGroupService)).deleteUserGroup({ name, ...condition(ifRevision) }, { signal });
    return { revision, warnings: [] };
  },
};

export const userGroupKind: Kind<UserGroup> = {
  kind: "user_group",
  calls: userGroupCalls,
  make: (name, fields) => Object.assign(create(UserGroupSchema), fields, { name }),
  validate: async (entity) => (await import("../../../../common/validation/user-group.ts")).validateUserGroup(entity),
  toResource: (userGroup) => ({ kind: "user_group", userGroup }),
};

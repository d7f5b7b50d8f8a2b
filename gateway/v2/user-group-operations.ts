import type { JsonObject } from "@bufbuild/protobuf";
import { userGroupFromV2 } from "../../common/v2/entity-from-v2.ts";
import { userGroupToV2 } from "../../common/v2/entity-to-v2.ts";
import { type UserGroup, UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { entityOperations } from "./entity-operations.ts";
import type { Operation } from "./operation.ts";
import { present, refuseFaults, refuseNothing, USER_GROUPS } from "./v2-answers.ts";

const { createUserGroup, getUserGroup, listUserGroups, updateUserGroup, deleteUserGroup } = UserGroupService.method;
const MISSING = { user_group_exists: false };

export const USER_GROUP_OPERATIONS: readonly Operation[] = entityOperations({
  noun: USER_GROUPS,
  async list(call, page) {
    const { userGroups, nextPageToken } = await call(listUserGroups, page);
    return { names: userGroups.map(({ name }) => name), nextPageToken };
  },
  get: async (call, name) => shown(await call(getUserGroup, { name })),
  create: async (call, name, body) => shown(await call(createUserGroup, { userGroup: groupOf(name, body).message })),
  remove: (call, name) => call(deleteUserGroup, { name }),
  async change(call, name, body) {
    const { message: userGroup, given } = groupOf(name, body);
    if (given.length === 0) refuseNothing({}); // unknown fields alone
    return shown(await call(updateUserGroup, { userGroup, updateFields: [...given] }));
  },
  updated: { status: 200, missing: { change: MISSING, replace: MISSING } },
  refusals: { given: [], whole: [] },
});

function groupOf(name: string, body: JsonObject) {
  const read = userGroupFromV2(name, body);
  refuseFaults(read.faults);
  return read;
}

function shown({ userGroup }: Readonly<{ userGroup?: UserGroup | undefined }>): JsonObject {
  return userGroupToV2(present(userGroup, "user_group"));
}

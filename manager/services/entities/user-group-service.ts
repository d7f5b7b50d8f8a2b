import { fromBinary } from "@bufbuild/protobuf";
import { encodeCanonical } from "../../../common/config/canonical-encoding.ts";
import { assertNoViolations, invalidArgument, messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { AccessStore, StoredUserGroup } from "../../../common/storage/access-store.ts";
import type { Page, PageRequest } from "../../../common/storage/page.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { pageOf } from "../../../common/validation/list-request.ts";
import { unknownFieldPaths } from "../../../common/validation/message-shape.ts";
import { validateName } from "../../../common/validation/names.ts";
import { normaliseUserGroup, OUTPUT_ONLY } from "../../../common/validation/normal-form.ts";
import { validateUserGroup } from "../../../common/validation/user-group.ts";
import { type UserGroup, UserGroupSchema, type UserGroupService } from "../../../gen/nebula/v1/user_group_pb.ts";
import { memberWarnings, readWarnings, warningsOfOthers } from "../../entities/name-warnings.ts";
import { lastChangeOf } from "../../entities/revisions.ts";
import { checkGiven, updatedViolations, updateFields, updateFieldsViolations } from "../../entities/update-fields.ts";
import { type RecordDeps, RecordWriter, recordExists, type StoredRecord } from "../../entities/write-record.ts";
import type { ServiceHandlers } from "../../rpc/call-context.ts";

export type UserGroupServiceDeps = RecordDeps &
  Readonly<{
    /** The name of the configuration's admin, who may be a member. */
    localAdmin: string;
  }>;

/** The encoded user_group, and the members that groupsOf finds it by. */
type Body = Readonly<{ body: Uint8Array; members: readonly string[] }>;

/** Entries of update_fields that are accepted: a user_group has keys per device_group, so more than an entity. */
const MOST_FIELDS = 5000;
/** The largest page, bytes: a client of gRPC takes 4 MiB. */
const LARGEST_PAGE = 3 * 2 ** 20;

/** UserGroupService: the rights of users. */
export function createUserGroupServiceHandlers(deps: UserGroupServiceDeps): ServiceHandlers<typeof UserGroupService> {
  const { accessStore } = deps;
  const groups = new RecordWriter<Body>(
    {
      kind: "user_group",
      get: (name, signal) => accessStore.getUserGroup(name, signal),
      write: (write, signal) => accessStore.writeUserGroup(write, signal),
    },
    deps,
  );
  const warningsOf = (group: UserGroup, signal: AbortSignal) => readWarnings(deps, () => memberWarnings(deps, group, signal));

  return {
    async createUserGroup({ userGroup }, context) {
      const group = checkGiven("user_group", userGroup, unknownFields);
      assertNoViolations(validateUserGroup(group));
      const stored = await groups.write({ name: group.name }, context, (current) => {
        if (current !== undefined) throw recordExists("user_group", current);
        return { kind: "write", fields: bodyOf(group), detail: "create" };
      });
      const { name } = group;
      const written = groupOf(stored);
      const inOtherCase = await warningsOfOthers(
        { kind: "user_group", name },
        () => accessStore.userGroupsInOtherCase(name, context.signal),
        deps.log,
      );
      return { userGroup: written, warnings: [...(await warningsOf(written, context.signal)), ...inOtherCase] };
    },

    async getUserGroup({ name, warnings: hasWarnings }, { signal }) {
      assertNoViolations(validateName(name));
      const stored = await accessStore.getUserGroup(name, signal);
      if (stored === undefined || stored.deleted) throw noSuch("user_group", name);
      const userGroup = groupOf(stored);
      return { userGroup, lastChange: lastChangeOf(stored), warnings: hasWarnings ? await memberWarnings(deps, userGroup, signal) : [] };
    },

    async listUserGroups(request, { signal }) {
      const { items, next } = await smallEnough((page) => accessStore.listUserGroups(page, signal), pageOf(request));
      return { userGroups: items.map(groupOf), nextPageToken: next ?? "", lastChanges: items.map(lastChangeOf) };
    },

    async updateUserGroup({ userGroup, updateFields: paths, ifRevision }, context) {
      const group = checkGiven("user_group", userGroup, unknownFields);
      assertNoViolations([...validateName(group.name), ...updateFieldsViolations(paths, MOST_FIELDS)]);
      const stored = await groups.write({ name: group.name, ifRevision }, context, (current) => {
        if (current === undefined) throw noSuch("user_group", group.name);
        const update = updateFields(UserGroupSchema, OUTPUT_ONLY.user_group, groupOf(current), group, paths);
        if (update.kind === "invalid") throw invalidArgument(update.violations);
        const fields = bodyOf(update.message);
        if (Buffer.compare(fields.body, current.body) === 0) return { kind: "keep" };
        assertNoViolations(updatedViolations(update.message, validateUserGroup, unknownFields));
        return { kind: "write", fields, detail: "update" };
      });
      const written = groupOf(stored);
      return { userGroup: written, warnings: await warningsOf(written, context.signal) };
    },

    async deleteUserGroup({ name, ifRevision }, context) {
      assertNoViolations(validateName(name));
      const { revision } = await groups.write({ name, ifRevision }, context, (current) => {
        if (current === undefined) throw noSuch("user_group", name);
        return { kind: "delete", fields: { body: current.body, members: [] } };
      });
      return { revision };
    },
  };
}

/** Encodes a group for the store, without its revision, which is stored beside it. Equal groups have equal bytes. */
function bodyOf(group: UserGroup): Body {
  const normal = normaliseUserGroup(group);
  normal.revision = 0n;
  return { body: encodeCanonical(UserGroupSchema, normal), members: normal.groupMembers };
}

function groupOf({ name, revision, body }: StoredRecord<Body>): UserGroup {
  try {
    return Object.assign(fromBinary(UserGroupSchema, body), { revision });
  } catch (error) {
    throw new NebulaError("internal", `the body of user_group ${name} in the store can't be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Reads a page that fits into a message: fewer groups than `limit` if they are large. */
async function smallEnough(list: AccessStore["listUserGroups"], { limit, ...from }: PageRequest): Promise<Page<StoredUserGroup>> {
  for (let size = limit; ; size = Math.ceil(size / 2)) {
    const page = await list({ ...from, limit: size });
    if (size === 1 || page.items.reduce((bytes, { body }) => bytes + body.length, 0) <= LARGEST_PAGE) return page;
  }
}

function unknownFields(group: UserGroup): string[] {
  return unknownFieldPaths(UserGroupSchema, group);
}

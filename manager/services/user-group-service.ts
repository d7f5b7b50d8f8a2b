import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { encodeCanonical } from "../../common/config/canonical-encoding.ts";
import { invalidArgument, messageOf, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { AccessStore, StoredUserGroup } from "../../common/storage/access-store.ts";
import type { Page } from "../../common/storage/config-store.ts";
import type { PageRequest } from "../../common/storage/report-store.ts";
import { unknownFieldPaths } from "../../common/validation/message-shape.ts";
import { validateName } from "../../common/validation/name.ts";
import { normaliseUserGroup } from "../../common/validation/normal-form.ts";
import { OUTPUT_ONLY } from "../../common/validation/output-only.ts";
import { pageOf } from "../../common/validation/page.ts";
import { validateUserGroup } from "../../common/validation/user-group.ts";
import { type UserGroup, UserGroupSchema, type UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { warningsOfOthers } from "../entities/name-warnings.ts";
import { updateFields } from "../entities/update-fields.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import { noSuchRecord, type RecordDeps, RecordWriter, recordExists, type StoredRecord } from "../users/write-record.ts";

/** The encoded user_group, and whom groupsOf finds it by. */
type Body = Readonly<{ body: Uint8Array; members: readonly string[] }>;

/** Entries of update_fields; each is looked up among the fields' names. */
const MOST_FIELDS = 5000;
/** The largest page, bytes: a client of gRPC takes 4 MiB. */
const LARGEST_PAGE = 3 * 2 ** 20;

/** UserGroupService: what users may do. */
export function createUserGroupServiceHandlers(deps: RecordDeps): ServiceHandlers<typeof UserGroupService> {
  const { accessStore } = deps;
  const groups = new RecordWriter<Body>(
    { kind: "user_group", get: (name) => accessStore.getUserGroup(name), write: (write) => accessStore.writeUserGroup(write) },
    deps,
  );

  return {
    async createUserGroup({ userGroup }, context) {
      const group = checkGiven(userGroup);
      refuse(validateUserGroup(group));
      const stored = await groups.write({ name: group.name }, context, (current) => {
        if (current !== undefined) throw recordExists("user_group", current);
        return { kind: "write", fields: bodyOf(group), detail: "create" };
      });
      const { name } = group;
      const warnings = await warningsOfOthers({ kind: "user_group", name }, () => accessStore.userGroupsInOtherCase(name), deps.log);
      return { userGroup: groupOf(stored), warnings };
    },

    async getUserGroup({ name }) {
      refuse(validateName(name));
      const stored = await accessStore.getUserGroup(name);
      if (stored === undefined || stored.deleted) throw noSuchRecord("user_group", name);
      return { userGroup: groupOf(stored), lastChange: { at: timestampFromMs(stored.changedAt), by: stored.changedBy } };
    },

    async listUserGroups(request) {
      const { items, next } = await smallEnough((page) => accessStore.listUserGroups(page), pageOf(request));
      return { userGroups: items.map(groupOf), nextPageToken: next ?? "" };
    },

    async updateUserGroup({ userGroup, updateFields: paths, ifRevision }, context) {
      const group = checkGiven(userGroup);
      refuse([...validateName(group.name), ...pathsViolations(paths)]);
      const stored = await groups.write({ name: group.name, ifRevision }, context, (current) => {
        if (current === undefined) throw noSuchRecord("user_group", group.name);
        const update = updateFields(UserGroupSchema, OUTPUT_ONLY.user_group, groupOf(current), group, paths);
        if (update.kind === "invalid") throw invalidArgument(update.violations);
        const fields = bodyOf(update.message);
        if (Buffer.compare(fields.body, current.body) === 0) return { kind: "keep" };
        refuse(newViolations(update.message));
        return { kind: "write", fields, detail: "update" };
      });
      return { userGroup: groupOf(stored) };
    },

    async deleteUserGroup({ name, ifRevision }, context) {
      refuse(validateName(name));
      const { revision } = await groups.write({ name, ifRevision }, context, (current) => {
        if (current === undefined) throw noSuchRecord("user_group", name);
        return { kind: "delete", fields: { body: current.body, members: [] } };
      });
      return { revision };
    },
  };
}

/** A group as it is stored: without its revision, which the store keeps beside it. Equal groups, equal bytes. */
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

/** A page that fits into a message: fewer groups than asked for where they are large. */
async function smallEnough(list: AccessStore["listUserGroups"], { limit, ...from }: PageRequest): Promise<Page<StoredUserGroup>> {
  for (let size = limit; ; size = Math.ceil(size / 2)) {
    const page = await list({ ...from, limit: size });
    if (size === 1 || page.items.reduce((bytes, { body }) => bytes + body.length, 0) <= LARGEST_PAGE) return page;
  }
}

function checkGiven(group: UserGroup | undefined): UserGroup {
  if (group === undefined) {
    throw invalidArgument([{ field: "user_group", description: "is missing; give the whole of it, or at least its name and what changes" }]);
  }
  const unknown = unknownFieldPaths(UserGroupSchema, group);
  refuse(unknown.map((field) => ({ field, description: "is not known to this manager; leave it out, or upgrade the managers first" })));
  return group;
}

function pathsViolations({ length }: readonly string[]): Violation[] {
  const field = "update_fields";
  if (length === 0) return [{ field, description: "is empty; name the fields to change, or * for all of them" }];
  return length <= MOST_FIELDS ? [] : [{ field, description: `has ${length} entries; at most ${MOST_FIELDS}, or * for all, would do` }];
}

/** What is wrong with a group after an update. Fields that a newer manager has stored stay as they are: they are not this one's to judge. */
function newViolations(group: UserGroup): Violation[] {
  const unknown = new Set(unknownFieldPaths(UserGroupSchema, group));
  return validateUserGroup(group).filter(({ field }) => !unknown.has(field));
}

function refuse(violations: readonly Violation[]): void {
  if (violations.length > 0) throw invalidArgument(violations);
}

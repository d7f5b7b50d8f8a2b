import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { validateUserGroup } from "./user-group.ts";

const fieldsOf = (fields: MessageInitShape<typeof UserGroupSchema>) =>
  validateUserGroup(create(UserGroupSchema, { name: "ops", ...fields })).map(({ field }) => field);
const names = (count: number) => Array.from({ length: count }, (_, index) => `name-${index}`);
const grants = (count: number) => Object.fromEntries(names(count).map((name) => [name, "ro"]));

describe("a user_group", () => {
  it("a user_group may be empty, which grants nothing", () => assert.deepEqual(fieldsOf({}), []));

  it("a user_group names its members once each, at most 1000", () => {
    assert.deepEqual(fieldsOf({ groupMembers: names(1000) }), []);
    assert.deepEqual(fieldsOf({ groupMembers: names(1001) }), ["group_members"]);
    assert.deepEqual(fieldsOf({ groupMembers: ["ann", "", "bob", "ann", "a/b", "*"] }), [
      "group_members[1]",
      "group_members[3]",
      "group_members[4]",
      "group_members[5]",
    ]);
  });

  it("a user_group grants ro or rw by name, by the beginning of names, or on all", () => {
    const permissions = { web: "rw", "shop-*": "ro", "s*": "rw", "*": "ro" };
    assert.deepEqual(fieldsOf({ apps: permissions, cronJobs: permissions, deviceGroups: permissions }), []);
  });

  it("a user_group grants nothing else: each entry that is wrong is named", () => {
    assert.deepEqual(fieldsOf({ apps: { web: "r", db: "", "": "ro", "*b": "ro", "a*b": "rw", "-*": "rw", "**": "rw", "a/*": "rw", "RO*": "RO" } }), [
      "apps.web",
      "apps.db",
      "apps.",
      "apps.*b",
      "apps.a*b",
      "apps.-*",
      "apps.**",
      "apps.a/*",
      "apps.RO*",
    ]);
    assert.deepEqual(fieldsOf({ cronJobs: { "a b": "ro" }, deviceGroups: { pos: "admin" } }), ["cron_jobs.a b", "device_groups.pos"]);
  });

  it("a user_group has at most 1000 entries of a kind", () => {
    assert.deepEqual(fieldsOf({ apps: grants(1000), cronJobs: grants(1000), deviceGroups: grants(1000) }), []);
    assert.deepEqual(fieldsOf({ apps: grants(1001), cronJobs: grants(1001), deviceGroups: grants(1001) }), ["apps", "cron_jobs", "device_groups"]);
  });
});

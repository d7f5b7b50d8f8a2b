import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ListUserGroupsResponseSchema, UserGroupSchema } from "../../../../../gen/nebula/v1/user_group_pb.ts";
import { rightsLine, rightsOf, userGroupLines } from "./user-group-model.ts";

describe("the rights of a user_group in words", () => {
  const rights = (group: MessageInitShape<typeof UserGroupSchema>) => rightsOf(create(UserGroupSchema, { name: "ops", ...group }));

  it("a right has its names, the most first, and all of a kind has none", () => {
    const group = {
      apps: { "shop-*": "rw", till: "rw", db: "ro" },
      cronJobs: { "*": "rw", nightly: "rw" },
      deviceGroups: { pos: "ro" },
      pruningAllowed: true,
    };
    assert.deepEqual(rights(group), [
      { verb: "Read and change", kind: "apps", names: ["shop-*", "till"] },
      { verb: "Read and change", kind: "all cron_jobs", names: [] },
      { verb: "Read", kind: "apps", names: ["db"] },
      { verb: "Read", kind: "device_groups", names: ["pos"] },
      { verb: "Prune the device_groups that it may read", kind: "", names: [] },
    ]);
    const line =
      "read and change apps shop-*, till; read and change all cron_jobs; read apps db; read device_groups pos; prune the device_groups that it may read";
    assert.equal(rightsLine(rights(group)), line);
  });

  it("an admin may do everything, also where it grants more, and a group without grants nothing", () => {
    assert.equal(rightsLine(rights({ admin: true, apps: { db: "ro" } })), "everything, as an admin");
    assert.equal(rightsLine(rights({})), "nothing");
  });

  it("a line of many names says how many more there are", () => {
    const apps = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`app-${10 + index}`, "rw"]));
    assert.equal(rightsLine(rights({ apps })), "read and change apps app-10, app-11, app-12, 9 more");
  });

  it("a line of the list counts the members, and has the newest change", () => {
    const answer = create(ListUserGroupsResponseSchema, {
      userGroups: [{ name: "ops", revision: 7n, groupMembers: ["ann", "bob"] }],
      lastChanges: [{ at: timestampFromMs(5000), by: "root" }],
    });
    assert.deepEqual(userGroupLines(answer), [{ name: "ops", revision: 7n, members: 2, rights: "nothing", by: "root", at: 5000 }]);
  });
});

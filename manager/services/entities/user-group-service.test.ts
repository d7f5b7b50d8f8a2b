import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import {
  CreateUserGroupRequestSchema,
  DeleteUserGroupRequestSchema,
  GetUserGroupRequestSchema,
  ListUserGroupsRequestSchema,
  UpdateUserGroupRequestSchema,
  UserGroupSchema,
} from "../../../gen/nebula/v1/user_group_pb.ts";
import { DeleteUserRequestSchema } from "../../../gen/nebula/v1/user_pb.ts";
import { type AccessRig, LOCAL_ADMIN, startAccessRig } from "../../testing/access-rig.ts";
import { refusal } from "../../testing/app-calls.ts";
import { putTestUser } from "../../testing/test-access.ts";

type GroupInit = MessageInitShape<typeof UserGroupSchema>;

describe("UserGroupService", () => {
  let rig: AccessRig;
  beforeEach(async () => {
    rig = await startAccessRig();
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  async function createGroup(fields: GroupInit = {}) {
    const request = create(CreateUserGroupRequestSchema, { userGroup: { name: "ops", ...fields } });
    return create(UserGroupSchema, (await rig.groups.createUserGroup(request, rig.call())).userGroup ?? assert.fail());
  }
  async function updateGroup(fields: GroupInit, updateFields: string[], { groups, ifRevision }: Partial<AccessRig> & { ifRevision?: bigint } = {}) {
    const condition = ifRevision === undefined ? {} : { ifRevision };
    const request = create(UpdateUserGroupRequestSchema, { userGroup: { name: "ops", ...fields }, updateFields, ...condition });
    return create(UserGroupSchema, (await (groups ?? rig.groups).updateUserGroup(request, rig.call())).userGroup ?? assert.fail());
  }
  const getGroup = (name = "ops") => rig.groups.getUserGroup(create(GetUserGroupRequestSchema, { name }), rig.call());
  const deleteGroup = async () => (await rig.groups.deleteUserGroup(create(DeleteUserGroupRequestSchema, { name: "ops" }), rig.call())).revision;
  const groupsOf = async (user: string) => (await rig.store.groupsOf(user)).map(({ name }) => name);

  it("a user_group is created as given, and nothing more is allowed", async () => {
    const group = await createGroup({ groupMembers: ["bob", "ann"], apps: { "shop-*": "rw" }, revision: 9n });
    assert.deepEqual(group, create(UserGroupSchema, { name: "ops", revision: 1n, groupMembers: ["bob", "ann"], apps: { "shop-*": "rw" } }));
    const read = await getGroup();
    assert.deepEqual([read.userGroup, read.lastChange?.by], [group, "root"]);
    assert.deepEqual([await groupsOf("ann"), await groupsOf("cyd")], [["ops"], []]);
    await assert.rejects(createGroup(), refusal("already_exists", /^user_group ops exists already, at revision 1/));
  });

  it("a user_group that names members without a user gets a warning that names them, at its create and at each update", async () => {
    await putTestUser(rig.store, "ann", { token: "token-of-ann" });
    const userGroup = { name: "ops", groupMembers: ["ann", LOCAL_ADMIN, "bob"] };
    const created = await rig.groups.createUserGroup(create(CreateUserGroupRequestSchema, { userGroup }), rig.call());
    assert.deepEqual(created.warnings, ["user_group ops names the user bob, which does not exist"]);
    const update = async (groupMembers: string[]) => {
      const request = create(UpdateUserGroupRequestSchema, { userGroup: { name: "ops", groupMembers }, updateFields: ["group_members"] });
      return (await rig.groups.updateUserGroup(request, rig.call())).warnings;
    };
    assert.deepEqual(await update(["bob", "ann", "cyd"]), ["user_group ops names users that do not exist: bob and cyd"]);
    await rig.users.deleteUser(create(DeleteUserRequestSchema, { name: "ann" }), rig.call());
    assert.deepEqual(await update(["ann"]), ["user_group ops names the user ann, which does not exist"]);
    assert.deepEqual(await update([LOCAL_ADMIN]), []);
  });

  it("a user_group is read with the warning about members without a user, if it is asked for", async () => {
    await createGroup({ groupMembers: ["bob"] });
    const read = async (warnings: boolean) =>
      (await rig.groups.getUserGroup(create(GetUserGroupRequestSchema, { name: "ops", warnings }), rig.call())).warnings;
    assert.deepEqual([await read(false), await read(true)], [[], ["user_group ops names the user bob, which does not exist"]]);
  });

  it("an invalid user_group is refused, every violation with its field", async () => {
    await assert.rejects(
      createGroup({ name: "", groupMembers: ["a", "a"], apps: { web: "x" }, deviceGroups: { "a b": "ro" } }),
      (error) =>
        isNebulaError(error, "invalid_argument") &&
        error.violations.map(({ field }) => field).join() === "name,group_members[1],apps.web,device_groups.a b",
    );
    await assert.rejects(
      rig.groups.createUserGroup(create(CreateUserGroupRequestSchema), rig.call()),
      refusal("invalid_argument", /^user_group: is missing/),
    );
  });

  it("an update changes the named fields and entries, and leaves the rest", async () => {
    await createGroup({ groupMembers: ["ann"], apps: { web: "rw", db: "ro", "*": "ro" }, admin: true });
    const group = await updateGroup({ groupMembers: ["bob"], apps: { web: "ro", api: "rw" }, pruningAllowed: true }, [
      "group_members",
      "apps.web",
      "apps.db",
      "apps.*",
      "pruning_allowed",
    ]);
    const wanted = { name: "ops", revision: 2n, groupMembers: ["bob"], apps: { web: "ro" }, pruningAllowed: true, admin: true };
    assert.deepEqual(group, create(UserGroupSchema, wanted));
    assert.deepEqual([await groupsOf("ann"), await groupsOf("bob")], [[], ["ops"]]);
  });

  it("an update with * replaces everything", async () => {
    await createGroup({ groupMembers: ["ann"], admin: true });
    assert.deepEqual(
      await updateGroup({ cronJobs: { backup: "rw" } }, ["*"]),
      create(UserGroupSchema, { name: "ops", revision: 2n, cronJobs: { backup: "rw" } }),
    );
  });

  it("an update writes nothing where nothing differs", async () => {
    await createGroup({ apps: { web: "rw", db: "ro" } });
    assert.equal((await updateGroup({ apps: { db: "ro", web: "rw" } }, ["*"])).revision, 1n);
    assert.deepEqual(
      rig.changes.map(({ detail }) => detail),
      ["create", "nothing differs"],
    );
  });

  it("an update of nothing, of unknown fields, or to an invalid user_group is refused", async () => {
    await createGroup({ apps: { web: "rw" } });
    await assert.rejects(updateGroup({}, []), refusal("invalid_argument", /^update_fields: is empty/));
    await assert.rejects(updateGroup({}, ["group_member"]), refusal("invalid_argument", /unknown field "group_member"; use "?group_members/));
    await assert.rejects(updateGroup({}, ["revision"]), refusal("invalid_argument", /is set by the server/));
    await assert.rejects(
      updateGroup({ apps: { web: "all" } }, ["apps.web"]),
      refusal("invalid_argument", /^apps.web: invalid permission "all"; use ro or rw/),
    );
    await assert.rejects(updateGroup({ name: "dev" }, ["admin"]), refusal("not_found", /^there is no user_group "dev"/));
    await assert.rejects(
      updateGroup({}, ["apps.__proto__"]).then(({ revision }) => revision === 1n && Promise.reject(new Error("kept"))),
      /kept/,
    );
    assert.equal((await getGroup()).userGroup?.revision, 1n);
  });

  it("an update with if_revision is done at that revision alone", async () => {
    await createGroup();
    await assert.rejects(
      updateGroup({ admin: true }, ["admin"], { ifRevision: 7n }),
      refusal("conflict", /^user_group ops is at revision 1, not at 7/),
    );
    assert.equal((await updateGroup({ admin: true }, ["admin"], { ifRevision: 1n })).revision, 2n);
  });

  it("updates through two shards at once are merged: each change is stored, and has a revision of its own", async () => {
    await createGroup();
    const names = Array.from({ length: 12 }, (_, index) => `app-${index}`);
    const answers = await Promise.all(
      names.map((name, index) =>
        updateGroup({ apps: { [name]: "ro" } }, [`apps.${name}`], { groups: index % 2 === 0 ? rig.groups : rig.other.groups }),
      ),
    );
    assert.equal(new Set(answers.map(({ revision }) => revision)).size, names.length);
    assert.deepEqual(Object.keys((await getGroup()).userGroup?.apps ?? {}).sort(), names.toSorted());
  });

  it("a delete removes the granted rights, and a create continues from its revision", async () => {
    await createGroup({ groupMembers: ["ann"] });
    assert.equal(await deleteGroup(), 2n);
    assert.deepEqual(await groupsOf("ann"), []);
    await assert.rejects(getGroup(), refusal("not_found", /^there is no user_group "ops"/));
    await assert.rejects(deleteGroup(), refusal("not_found", /^there is no user_group "ops"/));
    assert.equal((await createGroup()).revision, 3n);
    await eventually(() => rig.announced.length === 3);
    for (const event of rig.announced) assert.deepEqual(event, { kind: "access", subject: "user_group/ops" });
    assert.deepEqual(
      rig.changes.map(({ kind, name, revisionBefore, revisionAfter, detail }) => [kind, name, revisionBefore, revisionAfter, detail]),
      [
        ["user_group", "ops", 0n, 1n, "create"],
        ["user_group", "ops", 1n, 2n, "delete"],
        ["user_group", "ops", 2n, 3n, "create"],
      ],
    );
  });

  it("a list goes by name, and ends a page of large groups where a message would be too large", async () => {
    const apps = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`${"x".repeat(56)}-${index}`, "rw"]));
    const names = Array.from({ length: 20 }, (_, index) => `group-${String(index).padStart(2, "0")}`);
    for (const name of names) await createGroup({ name, apps, cronJobs: apps, deviceGroups: apps });
    const listed: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await rig.groups.listUserGroups(create(ListUserGroupsRequestSchema, { pageSize: 1000, pageToken }), rig.call());
      assert.ok((page.userGroups ?? []).length < 20);
      assert.deepEqual(
        page.lastChanges?.map(({ by }) => by),
        page.userGroups?.map(() => "root"),
      );
      listed.push(...(page.userGroups ?? []).map(({ name = "" }) => name));
      pageToken = page.nextPageToken ?? "";
      if (pageToken === "") break;
    }
    assert.deepEqual(listed, names);
  });
});

import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { verifyPassword } from "../../../common/access/password-hash.ts";
import { tokenHash } from "../../../common/access/tokens.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { CreateUserGroupRequestSchema } from "../../../gen/nebula/v1/user_group_pb.ts";
import {
  CreateUserRequestSchema,
  DeleteUserRequestSchema,
  GetUserRequestSchema,
  ListUsersRequestSchema,
  RefreshUserTokenRequestSchema,
  UpdateUserRequestSchema,
} from "../../../gen/nebula/v1/user_pb.ts";
import { type AccessRig, LOCAL_ADMIN, startAccessRig } from "../../testing/access-rig.ts";
import { refusal } from "../../testing/app-calls.ts";

const BCRYPT = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
const TOKEN = "a token that is long".replaceAll(" ", "-");

describe("UserService", () => {
  let rig: AccessRig;
  beforeEach(async () => {
    rig = await startAccessRig();
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  const createUser = (fields: MessageInitShape<typeof CreateUserRequestSchema> = {}) =>
    rig.users.createUser(create(CreateUserRequestSchema, { name: "ann", ...fields }), rig.call());
  const updateUser = (fields: MessageInitShape<typeof UpdateUserRequestSchema>, { users } = { users: rig.users }) =>
    users.updateUser(create(UpdateUserRequestSchema, { name: "ann", ...fields }), rig.call());
  const createGroup = (name: string, groupMembers: string[]) =>
    rig.groups.createUserGroup(create(CreateUserGroupRequestSchema, { userGroup: { name, groupMembers } }), rig.call());
  const getUser = (name = "ann") => rig.users.getUser(create(GetUserRequestSchema, { name }), rig.call());
  const deleteUser = (ifRevision?: bigint) =>
    rig.users.deleteUser(create(DeleteUserRequestSchema, { name: "ann", ...(ifRevision === undefined ? {} : { ifRevision }) }), rig.call());
  const refresh = () => rig.users.refreshUserToken(create(RefreshUserTokenRequestSchema, { name: "ann" }), rig.call());

  it("a create makes the password and the token that are not given, and answers them once", async () => {
    const { user, generatedPassword = "", generatedToken = "" } = await createUser();
    assert.match(generatedPassword, /^[A-Za-z0-9_-]{43}$/);
    assert.match(generatedToken, /^[A-Za-z0-9_-]{43}$/);
    assert.notEqual(generatedPassword, generatedToken);
    assert.deepEqual(await verifyPassword(generatedPassword, user?.passwordHash ?? ""), { ok: true, outdated: false });
    assert.deepEqual([user?.revision, user?.tokenHash], [1n, tokenHash(generatedToken)]);
    const read = await getUser();
    assert.deepEqual([read.user, read.lastChange?.by], [user, "root"]);
    assert.equal((await rig.store.userByTokenHash(tokenHash(generatedToken)))?.name, "ann");
  });

  it("a create takes the credentials that are given, and answers none of them in clear", async () => {
    const { user, generatedPassword, generatedToken } = await createUser({ password: "correct horse", token: TOKEN });
    assert.deepEqual([generatedPassword, generatedToken], ["", ""]);
    assert.equal((await verifyPassword("correct horse", user?.passwordHash ?? "")).ok, true);
    assert.equal(user?.tokenHash, tokenHash(TOKEN));
  });

  it("a create takes a password's hash as it is", async () => {
    const { user, generatedPassword } = await createUser({ passwordHash: BCRYPT });
    assert.deepEqual([user?.passwordHash, generatedPassword], [BCRYPT, ""]);
  });

  it("a create of a user that no user_group names gets a warning, and one of a user that a user_group names already gets none", async () => {
    const { warnings } = await createUser();
    assert.deepEqual(warnings, [
      "user ann is in no user_group, so it may read and change nothing: nebulactl user-groups create GROUP --group-members ann",
    ]);
    await createGroup("ops", ["bob"]);
    assert.deepEqual((await createUser({ name: "bob" })).warnings, []);
  });

  it("a create refuses invalid credentials, in words that do not repeat them", async () => {
    await assert.rejects(createUser({ password: "short-1" }), refusal("invalid_argument", /^password: has 7 bytes; use 8 to 256$/));
    await assert.rejects(createUser({ token: "short" }), refusal("invalid_argument", /^token: /));
    await assert.rejects(createUser({ passwordHash: "clear" }), refusal("invalid_argument", /^password_hash: /));
    await assert.rejects(createUser({ name: "a/b" }), refusal("invalid_argument", /^name: /));
    assert.deepEqual((await rig.users.listUsers(create(ListUsersRequestSchema), rig.call())).users, []);
  });

  it("a create succeeds once for a name, and never for the name of the configuration's admin", async () => {
    await createUser();
    await assert.rejects(createUser(), refusal("already_exists", /^user ann exists already, at revision 1/));
    await assert.rejects(
      createUser({ name: LOCAL_ADMIN }),
      refusal("already_exists", /^admin is the admin of the configuration \(NEBULA_ADMIN_USER\)/),
    );
    for (const name of ["Admin", "ADMIN"]) {
      const wanted = new RegExp(`^${name} differs in case alone from admin, the admin of the configuration`);
      await assert.rejects(createUser({ name }), refusal("already_exists", wanted));
    }
  });

  it("a create refuses a name under which the audit log has callers that are not users", async () => {
    for (const name of ["nobody", "several"])
      await assert.rejects(createUser({ name }), refusal("invalid_argument", /^name: .* is reserved, the audit log/));
    await createUser({ name: "Nobody" });
  });

  it("a change of the configuration's admin is refused with the place where it is changed", async () => {
    const wanted = refusal("not_found", /^there is no user "admin": it is the admin of the configuration/);
    await assert.rejects(getUser(LOCAL_ADMIN), wanted);
    await assert.rejects(updateUser({ name: LOCAL_ADMIN, token: TOKEN }), wanted);
  });

  it("a token belongs to one user at most", async () => {
    await createUser({ token: TOKEN });
    await assert.rejects(createUser({ name: "bob", token: TOKEN }), refusal("invalid_argument", /^token: is in use already/));
    await deleteUser();
    await createUser({ name: "bob", token: TOKEN });
    assert.equal((await rig.store.userByTokenHash(tokenHash(TOKEN)))?.name, "bob");
  });

  it("an update changes the given fields, and leaves the rest", async () => {
    const { user: before } = await createUser({ password: "correct horse", token: TOKEN });
    const { user: other } = await updateUser({ password: "battery staple" });
    assert.deepEqual([other?.revision, other?.tokenHash], [2n, before?.tokenHash]);
    assert.equal((await verifyPassword("battery staple", other?.passwordHash ?? "")).ok, true);
    assert.equal((await verifyPassword("correct horse", other?.passwordHash ?? "")).ok, false);
    const { user } = await updateUser({ token: `${TOKEN}-2` });
    assert.deepEqual([user?.revision, user?.passwordHash, user?.tokenHash], [3n, other?.passwordHash, tokenHash(`${TOKEN}-2`)]);
    assert.equal(await rig.store.userByTokenHash(tokenHash(TOKEN)), undefined);
  });

  it("an update writes nothing where nothing differs, and is refused if it names nothing to change", async () => {
    await createUser({ passwordHash: BCRYPT, token: TOKEN });
    assert.equal((await updateUser({ passwordHash: BCRYPT, token: TOKEN })).user?.revision, 1n);
    await assert.rejects(updateUser({}), refusal("invalid_argument", /^password: is missing, and so is everything else/));
    await assert.rejects(updateUser({ name: "bob", token: TOKEN }), refusal("not_found", /^there is no user "bob"/));
  });

  it("an update with if_revision is done at that revision alone", async () => {
    await createUser();
    await assert.rejects(updateUser({ token: TOKEN, ifRevision: 2n }), refusal("conflict", /^user ann is at revision 1, not at 2/));
    assert.equal((await updateUser({ token: TOKEN, ifRevision: 1n })).user?.revision, 2n);
    await assert.rejects(deleteUser(1n), refusal("conflict", /revision 2, not at 1/));
    assert.equal((await deleteUser(2n)).revision, 3n);
  });

  it("updates of two shards at once are all stored, each with a revision of its own", async () => {
    await createUser({ passwordHash: BCRYPT });
    const tokens = Array.from({ length: 12 }, (_, index) => `${TOKEN}-${index}`);
    const answers = await Promise.all(tokens.map((token, index) => updateUser({ token }, index % 2 === 0 ? rig : rig.other)));
    assert.deepEqual(
      answers.map(({ user }) => Number(user?.revision)).sort((a, b) => a - b),
      tokens.map((_, index) => index + 2),
    );
  });

  it("a delete removes the user's credentials permanently, and a create continues from its revision", async () => {
    await createUser({ token: TOKEN });
    assert.equal((await deleteUser()).revision, 2n);
    await assert.rejects(getUser(), refusal("not_found", /^there is no user "ann"/));
    await assert.rejects(deleteUser(), refusal("not_found", /^there is no user "ann"/));
    assert.equal(await rig.store.userByTokenHash(tokenHash(TOKEN)), undefined);
    assert.equal((await createUser()).user?.revision, 3n);
  });

  it("a rotation gives a new token in place of the old one", async () => {
    const { user: before } = await createUser({ passwordHash: BCRYPT, token: TOKEN });
    const { token = "", user } = await refresh();
    assert.deepEqual([user?.revision, user?.passwordHash, user?.tokenHash], [2n, before?.passwordHash, tokenHash(token)]);
    assert.equal(await rig.store.userByTokenHash(tokenHash(TOKEN)), undefined);
    assert.equal((await rig.store.userByTokenHash(tokenHash(token)))?.name, "ann");
  });

  it("users are listed by name, page by page", async () => {
    for (const name of ["cyd", "ann", "bob"]) await createUser({ name, passwordHash: BCRYPT });
    await deleteUser();
    const first = await rig.users.listUsers(create(ListUsersRequestSchema, { pageSize: 1 }), rig.call());
    assert.deepEqual(
      first.users?.map(({ name }) => name),
      ["bob"],
    );
    const second = await rig.users.listUsers(create(ListUsersRequestSchema, { pageSize: 1, pageToken: first.nextPageToken ?? "" }), rig.call());
    assert.deepEqual([second.users?.map(({ name }) => name), second.nextPageToken], [["cyd"], ""]);
  });

  it("a user is read with its user_groups and a warning where there are none, if they are asked for", async () => {
    await createUser();
    const read = async () => {
      const { userGroups, warnings } = await rig.users.getUser(create(GetUserRequestSchema, { name: "ann", userGroups: true }), rig.call());
      return [userGroups, warnings];
    };
    assert.deepEqual(await read(), [
      [],
      ["user ann is in no user_group, so it may read and change nothing: nebulactl user-groups create GROUP --group-members ann"],
    ]);
    for (const name of ["pos", "ops"]) await createGroup(name, ["ann"]);
    assert.deepEqual(await read(), [["ops", "pos"], []]);
    const { userGroups, warnings } = await getUser();
    assert.deepEqual([userGroups, warnings], [[], []]);
  });

  it("a list says of each user who changed it last, and if it is asked how many user_groups it is in and the first ten of them", async () => {
    await createUser();
    await createUser({ name: "bob" });
    for (let number = 0; number < 12; number++) await createGroup(`group-${10 + number}`, ["bob"]);
    const list = await rig.users.listUsers(create(ListUsersRequestSchema, { memberships: true }), rig.call());
    const first = Array.from({ length: 10 }, (_, number) => `group-${10 + number}`);
    assert.deepEqual(list.memberships, [
      { userGroups: [], count: 0 },
      { userGroups: first, count: 12 },
    ]);
    assert.deepEqual(
      list.lastChanges?.map(({ by }) => by),
      ["root", "root"],
    );
    assert.deepEqual((await rig.users.listUsers(create(ListUsersRequestSchema), rig.call())).memberships, []);
  });

  it("every change of a user is announced and audited, and no credential is in either, nor in the log", async () => {
    const { generatedPassword = "", generatedToken = "" } = await createUser();
    await updateUser({ password: "correct horse", token: TOKEN });
    const { token = "" } = await refresh();
    const { user } = await getUser();
    await deleteUser();
    await eventually(() => rig.announced.length === 4);
    for (const event of rig.announced) assert.deepEqual(event, { kind: "access", subject: "user/ann" });
    assert.deepEqual(
      rig.changes.map(({ revisionBefore, revisionAfter, detail }) => [revisionBefore, revisionAfter, detail]),
      [
        [0n, 1n, "create"],
        [1n, 2n, "another password and token"],
        [2n, 3n, "a new token"],
        [3n, 4n, "delete"],
      ],
    );
    const said = [...rig.logged, ...rig.changes.map(({ kind, name, detail }) => `${kind} ${name} ${detail}`)].join("\n");
    assert.match(said, /user ann create/);
    for (const secret of [generatedPassword, generatedToken, "correct horse", TOKEN, token, user?.passwordHash ?? "?", user?.tokenHash ?? "?"]) {
      assert.ok(!said.includes(secret), secret);
    }
  });
});

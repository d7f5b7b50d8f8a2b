import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../../../common/testing/eventually.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import type { RunOptions } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

describe("nebulactl on users and user_groups", () => {
  let server: TestServer;
  let folder: string;
  before(async () => {
    server = await startTestServer();
    folder = await mkdtemp(join(tmpdir(), "nebulactl-users-"));
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const { run, printed, refused } = asAdmin(() => server);

  /**
   * Waits until somebody gets in with that login, or until nobody does: a change comes to the managers within a second
   * while the feed works.
   */
  const getsIn = (env: Readonly<Record<string, string>>, wanted = true) =>
    eventually(async () => ((await run("ping", { env: { NEBULA_TOKEN: "", ...env } })).code === 0) === wanted, { timeoutMs: 5000 });
  const asAnn = (password: string) => ({ NEBULA_USER: "ann", NEBULA_PASSWORD: password });
  const withoutGroup = (user: string) =>
    `user ${user} is in no user_group, so it may read and change nothing: nebulactl user-groups create GROUP --group-members ${user}`;

  /** Returns the output of a command that goes well, with this warning. */
  async function warned(args: string | readonly string[], warning: string, options: RunOptions = {}): Promise<string> {
    const { code, out, err } = await run(args, options);
    assert.deepEqual({ code, err }, { code: 0, err: `warning: ${warning}\n` }, `${args}`);
    return out;
  }

  async function fileOf(name: string, text: string): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  }

  it("nebulactl creates a user who logs in with the shown credentials, and shows neither again", async () => {
    const created = await warned("users create ann", withoutGroup("ann"));
    const [, password = "", token = ""] =
      /^user ann created, revision 1\nits password, shown only once:\n {2}([\w-]{43})\nits token, shown only once:\n {2}([\w-]{43})\n$/.exec(
        created,
      ) ?? [];
    await getsIn(asAnn(password));
    await getsIn({ NEBULA_TOKEN: token });
    await getsIn(asAnn("wrong-password"), false);
    const shown = `${await warned("users info ann", withoutGroup("ann"))}${await warned("users info ann -o json", withoutGroup("ann"))}${await printed("users list")}`;
    assert.match(shown, /^name +ann$/m);
    assert.match(shown, /^password +argon2id$/m);
    assert.match(shown, /^ann +1 +argon2id +yes +none +\d+ s ago by admin$/m);
    assert.match(shown, /^last_change +\d+ s ago by admin$/m);
    assert.match(shown, /^user_groups +none$/m);
    assert.ok(!shown.includes(password) && !shown.includes(token));
    await refused("users create ann", /error: user ann exists already, at revision 1/);
    await refused("users create admin", /error: admin is the admin of the configuration/);
    assert.equal(await printed("users delete ann --yes"), "user ann deleted, revision 2\n");
    await getsIn({ NEBULA_TOKEN: token }, false);
    await refused("users info ann", /error: there is no user "ann"/);
  });

  it("nebulactl takes credentials from files and standard input, and changes them", async () => {
    const password = await fileOf("password", "correct horse\n");
    assert.match(
      await warned(["users", "create", "ann", "--password-file", password, "--token-stdin"], withoutGroup("ann"), { stdin: "a-token-of-ann-0001\n" }),
      /created, revision 3\n$/,
    );
    await getsIn(asAnn("correct horse"));
    await getsIn({ NEBULA_TOKEN: "a-token-of-ann-0001" });
    assert.equal(await printed("users update ann --password-stdin", { stdin: "battery staple\n" }), "user ann updated, revision 4\n");
    await getsIn(asAnn("battery staple"));
    await getsIn({ NEBULA_TOKEN: "a-token-of-ann-0001" });
    const token = await fileOf("token", "a-token-of-ann-0002\n");
    await refused(["users", "update", "ann", "--token-file", token, "--if-revision", "7"], /error: .*revision 4, not at 7/);
    assert.equal(JSON.parse(await printed(["users", "update", "ann", "--token-file", token, "-o", "json"])).revision, 5);
    await getsIn({ NEBULA_TOKEN: "a-token-of-ann-0001" }, false);
    await refused("users update ann", /error: nothing to change in user ann; use --password-file or --password-stdin, --token-file or --token-stdin/);
    await refused(
      ["users", "update", "ann", "--password-file", password, "--password-stdin"],
      /error: --password-file and --password-stdin set the same value/,
    );
    await printed("users delete ann");
  });

  it("nebulactl takes the original's command lines, and warns of secrets that ps shows", async () => {
    const { code, out, err } = await run(["users", "create", "--user", "ann", "--password", "correct horse", "--token", "a-token-of-ann-0003"]);
    assert.deepEqual({ code, out }, { code: 0, out: "user ann created, revision 7\n" });
    assert.match(
      err,
      /^warning: ps shows --password while this runs.*\nwarning: ps shows --token while this runs.*\nwarning: user ann is in no user_group.*\n$/,
    );
    assert.ok(!err.includes("correct horse") && !err.includes("a-token-of-ann-0003"));
    await getsIn(asAnn("correct horse"));
    await printed("users delete --user ann --yes");
  });

  it("nebulactl asks for a password on a terminal, twice, and makes one where none is typed", async () => {
    const typed = await run("users create ann", { answers: ["correct horse", "correct horse"] });
    assert.match(typed.out, /^user ann created, revision 9\nits token, shown only once:\n {2}[\w-]{43}\n$/);
    await getsIn(asAnn("correct horse"));
    await refused("users update ann", /the two passwords differ/, { answers: ["battery staple", "battery stable"] });
    await refused("users update ann", /nothing to change in user ann; use a password, or --token-file/, { answers: [""] });
    assert.equal((await run("users update ann", { answers: ["battery staple", "battery staple"] })).out, "user ann updated, revision 10\n");
    assert.match((await run("users create bob", { answers: [""] })).out, /its password, shown only once/);
    assert.equal((await run("users delete bob", { answers: ["n"] })).code, 1);
    await printed("users delete ann");
    await printed("users delete bob");
  });

  it("nebulactl refreshes a token, and gives no other user the token of the caller", async () => {
    await warned("users create ann", withoutGroup("ann"));
    const { token } = JSON.parse(await printed("users refresh ann -o json"));
    await getsIn({ NEBULA_TOKEN: token });
    const again = /shown only once:\n {2}([\w-]{43})\n$/.exec(await printed("users refresh --user ann"))?.[1] ?? "";
    await getsIn({ NEBULA_TOKEN: token }, false);
    await getsIn({ NEBULA_TOKEN: again });
    await refused("users refresh nobody", /error: there is no user "nobody"/);
    const own = await fileOf("own", ADMIN.token);
    await refused(["users", "update", "ann", "--token-file", own], /error: the token of the user is the one that you log in with/);
    await printed("users delete ann");
  });

  it("nebulactl grants a user the rights of its groups, and takes them away again", async () => {
    await printed("apps create web --image shop:1");
    await printed("apps create db --image shop:1");
    await fileOf("ann", "correct horse");
    await warned(["users", "create", "ann", "--password-file", join(folder, "ann")], withoutGroup("ann"));
    const ann = { env: { NEBULA_TOKEN: "", ...asAnn("correct horse") } };
    /** Waits until the change of rights has come to the managers, within a second while the feed works. */
    const reads = (app: string, wanted: boolean) =>
      eventually(async () => ((await run(`apps info ${app}`, ann)).code === 0) === wanted, { timeoutMs: 5000 });
    await reads("web", false);

    assert.equal(
      await warned(
        "user_groups create --user_group ops --group_members ann,bob --apps web:rw,d*:ro --device_groups pos:ro --pruning_allowed",
        "user_group ops names the user bob, which does not exist",
      ),
      "user_group ops  created 1\n",
    );
    await reads("web", true);
    assert.match(await printed("apps update web --image shop:2", ann), /updated 1 -> 2/);
    assert.match(await printed("apps info db", ann), /^docker_image +shop:1$/m);
    await refused("apps update db --image shop:2", /error: /, ann);
    await refused("users list", /error: /, ann);

    assert.match(
      await printed("user-groups list"),
      /^USER_GROUP +REVISION +MEMBERS +APPS +CRON_JOBS +DEVICE_GROUPS +PRUNING +ADMIN\nops +1 +ann,bob +d\*:ro,web:rw +pos:ro +yes +no\n$/,
    );
    assert.equal(
      await warned(
        "user-groups update ops --grant app/db:rw --grant cron-jobs/*:ro --revoke app/web --pruning_not_allowed",
        "user_group ops names the user bob, which does not exist",
      ),
      "user_group ops  updated 1 -> 2\n    apps             + db=rw\n                     - web\n    cron_jobs        + *=ro\n    pruning_allowed  true -> default\n",
    );
    await reads("web", false);
    await refused("apps update web --image shop:3", /error: /, ann);
    assert.match(await printed("apps update db --image shop:2", ann), /updated 1 -> 2/);

    assert.equal(
      await warned("user-groups update -g ops -m bob --admin", "user_group ops names the user bob, which does not exist"),
      "user_group ops  updated 2 -> 3\n    admin          default -> true\n    group_members  - ann\n",
    );
    await reads("db", false);
    await refused("apps update db --image shop:3", /error: /, ann);
    await refused("user-groups update ops", /nothing to change in user_group ops; use the flag of a field\n/);
    await refused("user-groups update ops --grant app/web", /error: invalid --grant "app\/web": use KIND\/NAME:ro or KIND\/NAME:rw/);
    await refused(
      "user-groups update ops --grant user/ann:ro",
      /error: invalid --grant "user\/ann": use app\/NAME, cron_job\/NAME or device_group\/NAME/,
    );
    await refused("user-groups create bad --apps web:all", /error: apps\.web: invalid permission "all"; use ro or rw/);
    assert.equal(await printed("user-groups delete ops --yes"), "user_group ops deleted, revision 4\n");
    await printed("users delete ann");
    await printed("apps delete web");
    await printed("apps delete db");
  });

  it("nebulactl prints user_groups as apply takes them, warns of members without a user, and prints users not at all", async () => {
    const text = 'kind: user_group\nname: root\ngroup_members:\n  - ann\napps:\n  "*": rw\nadmin: true\n';
    const file = await fileOf("groups.yaml", `${text}---\nkind: app\nname: first\ndocker_image: shop:1\n`);
    const missing = "user_group root names the user ann, which does not exist";
    assert.match(await printed(["plan", "-f", file]), new RegExp(`^warning: ${missing}$`, "m"));
    assert.equal(await warned(["apply", "-f", file], missing), "app first        created 1\nuser_group root  created 1\n");
    assert.equal(await printed("get user-groups root -o yaml"), text);
    assert.match(await printed("get all"), /kind: app[\s\S]*kind: user_group/);
    assert.equal(await warned(["apply", "-f", file], missing), "app first        unchanged 1\nuser_group root  unchanged 1\n");
    const changed = await fileOf("changed.yaml", "kind: user_group\nname: root\ngroup_members: [ann]\n");
    assert.match(
      await warned(["apply", "-f", changed], missing),
      /^user_group root {2}updated 1 -> 2\n {4}admin +true -> default\n {4}apps +- \*\n$/,
    );

    const users = await fileOf("users.yaml", "kind: user\nname: ann\npassword: correct horse\n");
    await refused(["apply", "-f", users], /users\.yaml:1: kind: invalid kind "user": a file must not hold passwords and tokens/);
    await refused("get users", /error: get prints no users, since files must not hold passwords and tokens/);
    await printed("user-groups delete root --yes");
    await printed("apps delete first");
  });

  it("nebulactl prints all that a user without the admin right may read", async () => {
    await printed("apps create web --image shop:1");
    await warned(["users", "create", "ann", "--password-file", await fileOf("ann", "correct horse")], withoutGroup("ann"));
    await printed("user-groups create readers -m ann -a *:ro");
    const asUser = { env: { NEBULA_TOKEN: "", ...asAnn("correct horse") } };
    await eventually(async () => (await run("apps info web", asUser)).code === 0);
    const { code, out, err } = await run("get all", asUser);
    assert.deepEqual({ code, err }, { code: 0, err: "user_groups are omitted: only admins may read them\n" });
    assert.match(out, /^kind: app\nname: web\n/);
    await printed("user-groups delete readers --yes");
    await printed("users delete ann");
    await printed("apps delete web");
  });
}).timeout(60_000);

import { strict as assert } from "node:assert";
import { freePort } from "../../../../common/testing/free-port.ts";
import { ORIGINAL_ADMIN, type OriginalContents, type OriginalManager, startOriginalManager } from "../../testing/original-manager.ts";
import { nebulactl as run } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

/** bcrypt of "the old password". */
const HASH = "$2b$04$E3MqXVYbrSwPZAln3huCy.mZMyAH2AaanCiJfP8GpxUWTsPzpufpC";

const CONTENTS = {
  apps: {
    web: {
      _id: { $oid: "5f0f1e7b8f4c2a0012345678" },
      app_name: "web",
      app_id: 41,
      starting_ports: [{ "80": "8080" }, 443],
      containers_per: { server: 2 },
      env_vars: { REGION: "eu", DEBUG: true },
      docker_image: "shop:1.4",
      running: true,
      networks: ["nebula", "bridge"],
      volumes: ["/data:/data:ro"],
      devices: [],
      privileged: false,
      rolling_restart: true,
    },
    db: { app_name: "db", app_id: 1, docker_image: "db:2", env_vars: [], running: false },
  },
  cron_jobs: { clean: { cron_job_name: "clean", cron_job_id: 3, schedule: "0 3 * * *", docker_image: "clean", env_vars: {}, running: true } },
  device_groups: { pos: { device_group: "pos", device_group_id: 7, prune_id: 4, apps: ["web", "gone", "db"], cron_jobs: ["clean"] } },
  users: { ann: { user_name: "ann", password: HASH, token: HASH } },
  user_groups: {
    ops: {
      user_group: "ops",
      group_members: ["ann"],
      apps: { web: "rw" },
      cron_jobs: {},
      device_groups: { pos: "ro" },
      pruning_allowed: true,
      admin: false,
    },
  },
} satisfies OriginalContents;

describe("nebulactl import", () => {
  let server: TestServer;
  let original: OriginalManager;
  const env = () => ({ NEBULA_SERVER: server.http, NEBULA_USER: ADMIN.user, NEBULA_PASSWORD: ADMIN.password });
  const nebulactl = (args: string) => run(args, { env: env() });
  const imported = (args = "") => {
    const login = { NEBULA_FROM_PASSWORD: ORIGINAL_ADMIN.password };
    return run(`import --from ${original.url} --from-user ${ORIGINAL_ADMIN.user} ${args}`, { env: { ...env(), ...login } });
  };

  beforeEach(async () => {
    server = await startTestServer();
    original = await startOriginalManager(CONTENTS);
  });

  afterEach(async () => {
    assert.equal(original.changed, 0, "the original is only read");
    await original[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it("an import shows in a dry run the changes it would make, and makes none", async () => {
    const { code, out, err } = await imported("--dry-run");
    assert.equal(code, 0, err);
    assert.match(out, /^app web +create, at revision 41 or above$/m);
    assert.match(out, /^device_group pos +create, at revision 7 or above$/m);
    assert.match(out, /^user ann +create, with its old password and a new token$/m);
    assert.match(out, /^6 created, 0 changed, 0 unchanged, 0 kept, 0 refused \(dry run: nothing was written\)$/m);
    assert.match(err, /note: device_group pos names the app gone, which does not exist: left out/);
    assert.equal((await nebulactl("apps list -o json")).out.trim(), "[]");
  });

  it("an import copies everything, ids too, and a second one does nothing", async () => {
    const first = await imported();
    assert.equal(first.code, 0, first.err);
    const web = JSON.parse((await nebulactl("apps info web -o json")).out);
    assert.equal(web.revision, 41);
    assert.deepEqual(web.starting_ports, [{ "80": "8080" }, 443]);
    assert.deepEqual(web.env_vars, { REGION: "eu", DEBUG: "True" });
    assert.deepEqual(web.containers_per, { server: 2 });
    assert.equal(JSON.parse((await nebulactl("apps info db -o json")).out).running, false);
    const pos = JSON.parse((await nebulactl("device-groups info pos -o json")).out);
    assert.deepEqual([pos.revision, pos.prune_id, pos.apps, pos.cron_jobs], [7, 4, ["web", "db"], ["clean"]]);
    const ops = JSON.parse((await nebulactl("user-groups info ops -o json")).out);
    assert.deepEqual([ops.group_members, ops.apps, ops.device_groups, ops.pruning_allowed], [["ann"], { web: "rw" }, { pos: "ro" }, true]);

    const again = await imported();
    assert.equal(again.code, 0, again.err);
    assert.match(again.out, /^0 created, 0 changed, 5 unchanged, 1 kept, 0 refused$/m);
  });

  it("an import keeps the text of numbers in env_vars, and reads lists that the original's CLI stored as text", async () => {
    const web = '{"app_name": "web", "app_id": 2, "docker_image": "shop:1", "env_vars": {"ID": 12345678901234567890, "V": 1.0}, "devices": "[]"}';
    original.contents = { ...CONTENTS, apps: { ...CONTENTS.apps, web } };
    const { code, err } = await imported();
    assert.equal(code, 0, err);
    const { env_vars, devices } = JSON.parse((await nebulactl("apps info web -o json")).out);
    assert.deepEqual([env_vars, devices ?? []], [{ ID: "12345678901234567890", V: "1.0" }, []]);
  });

  it("an import carries passwords over, and gives each user a new token, shown once", async () => {
    const { out } = await imported();
    const [, token = ""] = /^user ann +create, with its old password and a new token: (\S+)$/m.exec(out) ?? [];
    const as = (login: Record<string, string>) => run("apps info web -o json", { env: { NEBULA_SERVER: server.http, ...login } });
    assert.equal((await as({ NEBULA_USER: "ann", NEBULA_PASSWORD: "the old password" })).code, 0);
    assert.equal((await as({ NEBULA_TOKEN: token })).code, 0);
    assert.notEqual((await as({ NEBULA_USER: "ann", NEBULA_PASSWORD: "another password" })).code, 0);
    const { password_hash } = JSON.parse((await nebulactl("users info ann -o json")).out);
    assert.match(password_hash, /^\$argon2id\$/, "the first login has replaced the bcrypt hash");
  });

  it("an import follows changes of the source, and keeps changes made here, unless --overwrite is given", async () => {
    await imported();
    await nebulactl("apps update db --image db:3"); // 2 here
    original.contents = {
      ...CONTENTS,
      apps: { ...CONTENTS.apps, web: { ...CONTENTS.apps.web, app_id: 43, docker_image: "shop:1.5" } },
      device_groups: { pos: { ...CONTENTS.device_groups.pos, prune_id: 9 } },
    };
    const dry = await imported("--dry-run");
    assert.match(dry.out, /^app web +update 41 -> 43\n +docker_image +shop:1.4 -> shop:1.5$/m);
    assert.match(dry.out, /^app db +kept unchanged \(revision 2\).*\n +docker_image +db:3 -> db:2$/m);
    assert.equal((await imported()).code, 0);
    const image = async (app: string) => JSON.parse((await nebulactl(`apps info ${app} -o json`)).out);
    assert.deepEqual([(await image("web")).docker_image, (await image("web")).revision], ["shop:1.5", 43]);
    assert.equal((await image("db")).docker_image, "db:3");
    assert.equal(JSON.parse((await nebulactl("device-groups info pos -o json")).out).prune_id, 9);
    await imported("--overwrite");
    assert.deepEqual([(await image("db")).docker_image, (await image("db")).revision], ["db:2", 3]);
  });

  it("an import names entities that cannot be imported, and writes nothing unless it may skip those", async () => {
    const six = { ...CONTENTS.cron_jobs.clean, schedule: "*/5 * * * * *" };
    const pos = { ...CONTENTS.device_groups.pos, cron_jobs: ["often", "clean"] };
    const users = { bob: { user_name: "bob", password: "clear" } };
    original.contents = { ...CONTENTS, cron_jobs: { ...CONTENTS.cron_jobs, often: six }, device_groups: { pos }, users };
    const refused = await imported();
    assert.equal(refused.code, 1);
    assert.match(refused.err, /can't be imported: cron_job often: schedule /);
    assert.match(refused.err, /can't be imported: user bob: password is not a valid bcrypt hash/);
    assert.match(refused.err, /nothing was written/);
    assert.match(refused.err, /device_group pos names the cron_job often, which can't be imported: left out/);
    assert.equal((await nebulactl("apps list -o json")).out.trim(), "[]");
    const skipped = await imported("--skip-refused -o json");
    assert.equal(skipped.code, 1, "an import that left something out is a failure");
    const lines = skipped.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ kind, name, step }) => `${step} ${kind} ${name}`),
      ["create app db", "create app web", "create cron_job clean", "create device_group pos", "create user_group ops"],
    );
    assert.deepEqual(JSON.parse((await nebulactl("device-groups info pos -o json")).out).cron_jobs, ["clean"]);
  });

  it("an import keeps the admin of the configuration before a user of the original with that name", async () => {
    original.contents = { ...CONTENTS, users: { [ADMIN.user]: { user_name: ADMIN.user, password: HASH } } };
    const { code, out, err } = await imported();
    assert.equal(code, 0, err);
    assert.match(out, /^user admin +exists: kept unchanged$/m);
    assert.match(out, /^5 created, 0 changed, 0 unchanged, 1 kept, 0 refused$/m);
  });

  it("an import takes an argon2id hash, as another server of this kind has it, and refuses secret values, of which that one shows none", async () => {
    await nebulactl("users create carl --password carls-password");
    const { password_hash } = JSON.parse((await nebulactl("users info carl -o json")).out);
    const safe = { app_name: "safe", app_id: 1, docker_image: "safe:1", secret_env_vars: { TOKEN: "secret:0123abcd" } };
    original.contents = { ...CONTENTS, apps: { ...CONTENTS.apps, safe }, users: { dora: { user_name: "dora", password: password_hash } } };
    const { err } = await imported("--dry-run");
    assert.match(err, /can't be imported: app safe: secret_env_vars\.TOKEN is never shown/);
    assert.equal((await imported("--skip-refused")).code, 1);
    const login = { NEBULA_SERVER: server.http, NEBULA_USER: "dora", NEBULA_PASSWORD: "carls-password" };
    assert.equal((await run("apps list -o json", { env: login })).code, 0);
  });

  it("an import copies from the REST v2 of another server of this kind", async () => {
    await using other = await startTestServer();
    const there = (args: string) => run(args, { env: { ...env(), NEBULA_SERVER: other.http } });
    for (const made of [
      "apps create web --image shop:1.4 --starting_ports 80,8443:443 --command sleep,9 --containers_per cpu:2 --env A=b",
      "apps restart web",
      "cron-jobs create clean --image clean --schedule @daily",
      "device-groups create pos --apps web --cron-jobs clean",
      "device-groups prune pos",
      "users create carl --password carls-password",
      "user-groups create ops --group-members carl --apps *:ro",
    ]) {
      const { code, err } = await there(made);
      assert.equal(code, 0, err);
    }
    const login = { NEBULA_FROM_PASSWORD: ADMIN.password };
    const copy = (args: string) => run(`import --from ${other.http} --from-user ${ADMIN.user} ${args}`, { env: { ...env(), ...login } });
    const first = await copy("");
    assert.equal(first.code, 0, first.err);
    for (const each of ["apps info web", "cron-jobs info clean", "device-groups info pos", "user-groups info ops"]) {
      const shown = async (side: typeof there) => ({ ...JSON.parse((await side(`${each} -o json`)).out), restart_count: "", last_change: "" });
      assert.deepEqual(await shown(nebulactl), await shown(there));
    }
    assert.equal((await run("apps list", { env: { NEBULA_SERVER: server.http, NEBULA_USER: "carl", NEBULA_PASSWORD: "carls-password" } })).code, 0);
    assert.match((await copy("")).out, /^0 created, 0 changed, 4 unchanged, 1 kept, 0 refused$/m);
  });

  it("an import reports errors on the way to the original", async () => {
    const wrong = await run(`import --from ${original.url} --from-user nebula`, { env: { ...env(), NEBULA_FROM_PASSWORD: "wrong" } });
    assert.match(wrong.err, /refuses the login; use --from-user and --from-password-file/);
    assert.doesNotMatch(wrong.err, /wrong/);
    const absent = await run(`import --from http://127.0.0.1:${await freePort()}`, { env: env() });
    assert.match(absent.err, /can't be read: .*ECONNREFUSED/);
    const itself = await run(`import --from ${server.http}/ --from-user x`, { env: { ...env(), NEBULA_FROM_PASSWORD: "y" } });
    assert.notEqual(itself.code, 0);
    const grpc = await run(`import --from ${server.grpc}`, { env: env() });
    assert.match(grpc.err, /invalid --from: it must be the REST API of an original manager/);
  });
});

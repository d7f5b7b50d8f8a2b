import { strict as assert } from "node:assert";
import { create, toJsonString } from "@bufbuild/protobuf";
import {
  AppSchema,
  ListAppsRequestSchema,
  ListAppsResponseSchema,
  RestartAppRequestSchema,
  StartAppRequestSchema,
  StopAppRequestSchema,
} from "../../../gen/nebula/v1/app_pb.ts";
import { CreateCronJobRequestSchema, CronJobSchema, UpdateCronJobRequestSchema } from "../../../gen/nebula/v1/cron_job_pb.ts";
import { AppCalls, refusal } from "../../testing/app-calls.ts";
import { callOf, type EntityRig, startEntityRig } from "../../testing/entity-rig.ts";

const SHOWN = /^secret:[0-9a-f]{8}$/;

describe("secret_env_vars of an app", () => {
  let rig: EntityRig;
  let web: AppCalls;
  beforeEach(async () => {
    rig = await startEntityRig();
    web = new AppCalls(rig);
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  const bodyOf = async (name = "web") => Buffer.from((await rig.store.get({ kind: "app", name }))?.body ?? []);

  it("secret_env_vars are shown by no answer, and stand in no row of the store", async () => {
    const ann = callOf("ann");
    const created = await web.create({ envVars: { A: "plain" }, secretEnvVars: { TOKEN: "hunter2", PIN: "hunter2" } });
    assert.match(created.secretEnvVars.TOKEN ?? "", SHOWN);
    assert.notEqual(created.secretEnvVars.TOKEN, created.secretEnvVars.PIN);
    const { apps } = rig;
    const at = { name: "web" };
    const answers = [
      created,
      await web.get(),
      await web.update({ secretEnvVars: { TOKEN: "hunter2, too" } }, ["secret_env_vars.TOKEN"]),
      await web.update({ secretEnvVars: { TOKEN: "hunter2, too" } }, ["secret_env_vars.TOKEN"]),
      (await apps.stopApp(create(StopAppRequestSchema, at), ann)).app,
      (await apps.startApp(create(StartAppRequestSchema, at), ann)).app,
      (await apps.restartApp(create(RestartAppRequestSchema, at), ann)).app,
    ].map((app) => toJsonString(AppSchema, create(AppSchema, app)));
    const listed = await apps.listApps(create(ListAppsRequestSchema), ann);
    answers.push(toJsonString(ListAppsResponseSchema, create(ListAppsResponseSchema, listed)));
    await web.delete();
    for (const text of answers) assert.ok(/secret:[0-9a-f]{8}/.test(text) && !/hunter2|nebula-sealed/.test(text), text);
    const rows = await web.history();
    assert.equal(rows.length, 6);
    for (const { body } of [...rows, { body: await bodyOf() }]) {
      assert.ok(Buffer.from(body).includes("nebula-sealed:1:") && !Buffer.from(body).includes("hunter2"));
    }
  });

  it("secret_env_vars are kept, and nothing is written, where their display, or the same value, is written back", async () => {
    const app = await web.create({ secretEnvVars: { TOKEN: "hunter2", PIN: "1234" } });
    const body = await bodyOf();
    for (const [secretEnvVars, fields] of [
      [app.secretEnvVars, ["*"]],
      [app.secretEnvVars, ["secret_env_vars"]],
      [{ TOKEN: "hunter2", PIN: "1234" }, ["*"]],
      [{ TOKEN: "hunter2", PIN: app.secretEnvVars.PIN ?? "" }, ["secret_env_vars"]],
      [{ PIN: app.secretEnvVars.PIN ?? "" }, ["secret_env_vars.PIN"]],
    ] as const) {
      const answered = await web.update({ ...app, secretEnvVars: { ...secretEnvVars } }, [...fields]);
      assert.deepEqual([answered.revision, answered.secretEnvVars], [1n, app.secretEnvVars]);
    }
    assert.ok((await bodyOf()).equals(body));
    const redeployed = await web.update({ ...app }, ["*"], { redeploy: true });
    assert.deepEqual([redeployed.revision, redeployed.restartCount, redeployed.secretEnvVars], [2n, 1n, app.secretEnvVars]);
  });

  it("secret_env_vars change one by one, and as a whole", async () => {
    const created = await web.create({ secretEnvVars: { A: "1", B: "2" } });
    const changed = await web.update({ secretEnvVars: { A: "one", C: "3" } }, ["secret_env_vars.A", "secret_env_vars.C"]);
    assert.equal(changed.revision, 2n);
    assert.notEqual(changed.secretEnvVars.A, created.secretEnvVars.A);
    assert.equal(changed.secretEnvVars.B, created.secretEnvVars.B);
    assert.match(changed.secretEnvVars.C ?? "", SHOWN);
    const removed = await web.update({}, ["secret_env_vars.B"]);
    assert.deepEqual(Object.keys(removed.secretEnvVars), ["A", "C"]);
    const back = await web.update({ secretEnvVars: { A: "1" } }, ["secret_env_vars"]);
    assert.deepEqual(back.secretEnvVars, { A: created.secretEnvVars.A }, "the same value is shown the same");
    assert.deepEqual((await web.update({}, ["secret_env_vars"])).secretEnvVars, {});
  });

  it("secret_env_vars are kept by changes of other fields, to the byte", async () => {
    await web.create({ secretEnvVars: { A: "1" } });
    const sealed = /nebula-sealed:1:[\w:-]+/.exec((await bodyOf()).toString("latin1"))?.[0] ?? assert.fail("nothing is sealed");
    await web.update({ dockerImage: "shop:1.5" }, ["docker_image"]);
    assert.ok((await bodyOf()).includes(sealed));
  });

  it("secret_env_vars refuse the display of another value, a sealed text, and a name that is in env_vars, too", async () => {
    const app = await web.create({ envVars: { A: "1" }, secretEnvVars: { TOKEN: "hunter2" } });
    await web.create({ name: "api" });
    const shown = app.secretEnvVars.TOKEN ?? "";
    const sealed = /nebula-sealed:1:[\w:-]+/.exec((await bodyOf()).toString("latin1"))?.[0] ?? "";
    const display = refusal("invalid_argument", /^secret_env_vars\.TOKEN: secret:[0-9a-f]{8} is the display of a value, not a value/);
    await assert.rejects(web.update({ name: "api", secretEnvVars: { TOKEN: shown } }, ["secret_env_vars"]), display);
    await assert.rejects(web.create({ name: "new", secretEnvVars: { TOKEN: shown } }), display);
    await assert.rejects(
      web.update({ secretEnvVars: { OTHER: shown } }, ["secret_env_vars.OTHER"]),
      refusal("invalid_argument", /secret_env_vars\.OTHER/),
    );
    const stolen = refusal("invalid_argument", /^secret_env_vars\.TOKEN: looks like a value that Nebula has encrypted/);
    await assert.rejects(web.update({ name: "api", secretEnvVars: { TOKEN: sealed } }, ["secret_env_vars"]), stolen);
    await assert.rejects(web.create({ name: "new", secretEnvVars: { TOKEN: sealed } }), stolen);
    const both = refusal("invalid_argument", /^secret_env_vars\.A: is in env_vars, too/);
    await assert.rejects(web.update({ secretEnvVars: { A: "2" } }, ["secret_env_vars.A"]), both);
    assert.equal((await web.get()).revision, 1n);
    const moved = await web.update({ secretEnvVars: { A: "2" } }, ["secret_env_vars.A", "env_vars.A"]);
    assert.deepEqual([moved.envVars, Object.keys(moved.secretEnvVars)], [{}, ["A", "TOKEN"]]);
  });

  it("secret_env_vars of a deleted name are lost for the caller who creates it again", async () => {
    const app = await web.create({ secretEnvVars: { TOKEN: "hunter2" } });
    await web.delete();
    await assert.rejects(web.create({ secretEnvVars: app.secretEnvVars }), refusal("invalid_argument", /is the display of a value/));
    assert.deepEqual((await web.create()).secretEnvVars, {});
  });
});

describe("secret_env_vars of a cron_job", () => {
  it("secret_env_vars of a cron_job are sealed, shown and kept as an app's", async () => {
    await using rig = await startEntityRig();
    const ann = callOf("ann");
    const given = { name: "web", schedule: "@daily", dockerImage: "a:1", secretEnvVars: { TOKEN: "hunter2" } };
    const created = await rig.cronJobs.createCronJob(create(CreateCronJobRequestSchema, { cronJob: given }), ann);
    const cronJob = create(CronJobSchema, created.cronJob);
    assert.match(cronJob.secretEnvVars.TOKEN ?? "", SHOWN);
    assert.ok(!Buffer.from((await rig.store.get({ kind: "cron_job", name: "web" }))?.body ?? []).includes("hunter2"));
    const updated = await rig.cronJobs.updateCronJob(create(UpdateCronJobRequestSchema, { cronJob, updateFields: ["*"] }), ann);
    assert.equal(updated.cronJob?.revision, 1n);
    const app = await new AppCalls(rig).create({ secretEnvVars: { TOKEN: "hunter2" } });
    assert.notEqual(app.secretEnvVars.TOKEN, cronJob.secretEnvVars.TOKEN, "kinds are distinguished");
  });
});

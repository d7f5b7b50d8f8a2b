import { strict as assert } from "node:assert";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../../common/storage/config-store.ts";
import { AppSchema, CreateAppRequestSchema, PortProtocol, RestartAppRequestSchema, UpdateAppRequestSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { AppCalls, type AppInit, refusal, type UpdateInit } from "../../testing/app-calls.ts";
import { callOf, type EntityRig, startEntityRig } from "../../testing/entity-rig.ts";
import { plainStore } from "../../testing/plain-store.ts";
import { createAppServiceHandlers } from "./app-service.ts";

const ann = callOf("ann");

describe("UpdateApp", () => {
  let rig: EntityRig;
  let web: AppCalls;
  beforeEach(async () => {
    rig = await startEntityRig();
    web = new AppCalls(rig);
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  it("an update changes the named fields of the stored app", async () => {
    await web.create({ envVars: { REGION: "eu" }, running: false });
    const app = await web.update({ dockerImage: "shop:1.5", envVars: { REGION: "ignored", NEW: "x" } }, ["docker_image", "env_vars.NEW"]);
    assert.deepEqual([app.revision, app.dockerImage, { ...app.envVars }, app.running], [2n, "shop:1.5", { REGION: "eu", NEW: "x" }, false]);
    assert.deepEqual(await web.get(), app);
    const [newest] = await web.history();
    assert.deepEqual([newest?.revision, newest?.action], [2n, "update"]);
  });

  it("an update gives a field that is named and absent its default, in normal form", async () => {
    await web.create({ running: false, stopGraceSeconds: 0, containersPer: { per: { case: "cpu", value: 2 } } });
    const app = await web.update({}, ["running", "stop_grace_seconds", "containers_per"]);
    assert.deepEqual([app.running, app.stopGraceSeconds, app.containersPer?.per], [true, 10, { case: "server", value: 1 }]);
  });

  it("an update writes nothing where nothing differs, also where a default is given in other words", async () => {
    await web.create({ startingPorts: [{ hostPort: 80, containerPort: 80, protocol: PortProtocol.TCP }] });
    const same: AppInit = { dockerImage: "shop:1.4", running: true, startingPorts: [{ hostPort: 80, containerPort: 80 }], minHealthyMs: 10_000 };
    assert.equal((await web.update(same, ["*"])).revision, 1n);
    assert.equal((await web.update({ running: true }, ["running"], { ifRevision: 1n })).revision, 1n);
    assert.equal((await web.history()).length, 1);
    assert.deepEqual(rig.told, ["app web 1"]);
  });

  it("an update with redeploy writes in any case, and has the containers re-created", async () => {
    await web.create();
    const redeployed = await web.update({}, [], { redeploy: true });
    assert.deepEqual([redeployed.revision, redeployed.restartCount], [2n, 1n]);
    const again = await web.update({ dockerImage: "shop:1.4" }, ["docker_image"], { redeploy: true });
    assert.deepEqual([again.revision, again.restartCount], [3n, 2n]);
  });

  it("an update with redeploy, where something differs, is that change alone", async () => {
    await web.create();
    const scaled = await web.update({ containersPer: { per: { case: "server", value: 3 } } }, ["containers_per"], { redeploy: true });
    assert.deepEqual([scaled.revision, scaled.restartCount], [2n, 0n]);
  });

  it("an update keeps fields that only the server writes", async () => {
    await web.create();
    await rig.apps.restartApp(create(RestartAppRequestSchema, { name: "web" }), ann);
    const app = await web.update({ dockerImage: "shop:2", revision: 99n, restartCount: 99n }, ["*"]);
    assert.deepEqual([app.revision, app.restartCount], [3n, 1n]);
    await assert.rejects(web.update({ restartCount: 5n }, ["restart_count"]), refusal("invalid_argument", /set by the server/));
  });

  it("an update is refused with nothing to change, unknown fields, and an invalid result", async () => {
    await web.create();
    await assert.rejects(web.update({}, []), refusal("invalid_argument", /^update_fields: is empty/));
    const many = Array.from({ length: 1001 }, () => "docker_image");
    await assert.rejects(web.update({}, many), refusal("invalid_argument", /^update_fields: has 1001 entries; use at most 1000/));
    await assert.rejects(web.update({}, ["docker_imag"]), refusal("invalid_argument", /^update_fields\[0\]: .*use docker_image/));
    await assert.rejects(web.update({}, ["docker_image"]), refusal("invalid_argument", /^docker_image: an image is required/));
    await assert.rejects(web.update({ name: "" }, ["docker_image"]), refusal("invalid_argument", /^name: is missing/));
    await assert.rejects(
      rig.apps.updateApp(create(UpdateAppRequestSchema, { updateFields: ["*"] }), ann),
      refusal("invalid_argument", /^app: is missing/),
    );
    await assert.rejects(web.update({ name: "none", dockerImage: "x" }, ["*"]), refusal("not_found", /there is no app "none"/));
    assert.equal((await web.get()).revision, 1n);
  });

  it("an update with if_revision is done at that revision alone, and a conflict names both", async () => {
    await web.create();
    assert.equal((await web.update({ dockerImage: "shop:2" }, ["docker_image"], { ifRevision: 1n })).revision, 2n);
    await assert.rejects(
      web.update({ dockerImage: "shop:3" }, ["docker_image"], { ifRevision: 1n }),
      refusal("conflict", /app web is at revision 2, not at 1 \(if_revision\)/),
    );
    await assert.rejects(web.delete("web", 1n), refusal("conflict", /revision 2, not at 1/));
    assert.equal((await web.get()).dockerImage, "shop:2");
  });

  it("an update with min_revision reaches it once, for admins alone", async () => {
    await web.create();
    const import_ = (minRevision: bigint, context = ann) => web.update({ dockerImage: "shop:1.4" }, ["*"], { minRevision }, context);
    assert.equal((await import_(41n)).revision, 41n);
    assert.equal((await import_(41n)).revision, 41n);
    assert.equal((await import_(7n)).revision, 41n);
    assert.equal((await web.update({ dockerImage: "shop:2" }, ["docker_image"], { minRevision: 7n })).revision, 42n);
    await assert.rejects(import_(50n, callOf("bob", { admin: false })), refusal("permission_denied", /min_revision/));
  });

  it("an update keeps fields that only a newer manager knows, unless everything is replaced", async () => {
    const newer = create(AppSchema, { name: "web", dockerImage: "x" });
    newer.$unknown = [{ no: 500, wireType: 0, data: Uint8Array.of(7) }];
    const row = { kind: "app", name: "web", revision: 1n, expected: 0n, deleted: false, action: "create", changedAt: 0, changedBy: "" } as const;
    await rig.store.write({ ...row, body: toBinary(AppSchema, newer) });
    await web.update({ dockerImage: "y" }, ["docker_image"]);
    const kept = await rig.store.get({ kind: "app", name: "web" });
    assert.deepEqual(kept && fromBinary(AppSchema, kept.body).$unknown?.map(({ no }) => no), [500]);
    await web.update({ dockerImage: "z" }, ["*"]);
    const replaced = await rig.store.get({ kind: "app", name: "web" });
    assert.equal(replaced && fromBinary(AppSchema, replaced.body).$unknown, undefined);
  });

  it("50 updates of different keys at once are merged: all are stored, each with a revision of its own", async () => {
    await web.create({ envVars: { KEPT: "1" } });
    const keys = Array.from({ length: 50 }, (_, index) => `KEY_${index}`);
    const apps = await Promise.all(keys.map((key) => web.update({ envVars: { [key]: key } }, [`env_vars.${key}`])));
    assert.deepEqual(new Set(apps.map(({ revision }) => revision)), new Set(keys.map((_, index) => BigInt(index + 2))));
    assert.deepEqual({ ...(await web.get()).envVars }, { KEPT: "1", ...Object.fromEntries(keys.map((key) => [key, key])) });
  });

  it("updates through two shards at once are merged: acknowledged ones are stored, no revision is given twice", async () => {
    await web.create();
    const other = createAppServiceHandlers(rig.deps);
    const keys = Array.from({ length: 40 }, (_, index) => `KEY_${index}`);
    const outcomes = await Promise.allSettled(
      keys.map((key, index) => web.update({ envVars: { [key]: key } }, [`env_vars.${key}`], {}, ann, index % 2 === 0 ? rig.apps : other)),
    );
    const landed = keys.filter((_, index) => outcomes[index]?.status === "fulfilled");
    for (const outcome of outcomes) if (outcome.status === "rejected") assert.ok(isNebulaError(outcome.reason, "conflict"), String(outcome.reason));
    assert.ok(landed.length >= 30, `${landed.length} landed`);
    const app = await web.get();
    assert.deepEqual(new Set(Object.keys(app.envVars)), new Set(landed));
    assert.equal(app.revision, BigInt(landed.length + 1));
  });

  it("an update is tried 8 times where others are always faster, with if_revision once", async () => {
    let writes = 0;
    const losing = (store: ConfigStore): ConfigStore => ({
      ...plainStore(store),
      write: async (write) => (write.expected === 0n ? store.write(write) : { kind: "conflict", revision: write.expected + BigInt(++writes) }),
    });
    await using beaten = await startEntityRig({ wrapStore: losing });
    await beaten.apps.createApp(create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } }), ann);
    const update = (more: UpdateInit) => web.update({ dockerImage: "y" }, ["docker_image"], more, ann, beaten.apps);
    await assert.rejects(update({}), refusal("conflict", /changed by others 8 times/));
    assert.equal(writes, 8);
    await assert.rejects(update({ ifRevision: 1n }), refusal("conflict", /is at revision 10, not at 1/));
    assert.equal(writes, 9);
    assert.deepEqual(beaten.told, ["app web 1"]);
  });

  it("an update whose outcome the store does not know says so, and announces nothing", async () => {
    const failing = (store: ConfigStore): ConfigStore => ({
      ...plainStore(store),
      write: async () => ({ kind: "unknown" }),
    });
    await using broken = await startEntityRig({ wrapStore: failing });
    await assert.rejects(
      broken.apps.createApp(create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } }), ann),
      refusal("unavailable", /outcome unknown/),
    );
    assert.deepEqual(broken.told, []);
  });

  it("an update of a caller who has gone is not begun", async () => {
    await web.create();
    const gone = AbortSignal.abort(new NebulaError("cancelled", "gone"));
    await assert.rejects(web.update({ dockerImage: "y" }, ["*"], {}, callOf("ann", { signal: gone })), refusal("cancelled", /gone/));
    assert.equal((await web.get()).revision, 1n);
  });
});

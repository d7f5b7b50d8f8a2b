import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { type ErrorKind, isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import {
  type App,
  AppSchema,
  CreateAppRequestSchema,
  DeleteAppRequestSchema,
  GetAppRequestSchema,
  GetAppResponseSchema,
  ListAppsRequestSchema,
  PortProtocol,
  RestartAppRequestSchema,
  StartAppRequestSchema,
  StopAppRequestSchema,
  UpdateAppRequestSchema,
} from "../../gen/nebula/v1/app_pb.ts";
import { CreateDeviceGroupRequestSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { callOf, type EntityRig, startEntityRig } from "../testing/entity-rig.ts";
import { plainStore } from "../testing/plain-store.ts";
import { createAppServiceHandlers } from "./app-service.ts";

type AppInit = MessageInitShape<typeof AppSchema>;
type UpdateInit = Omit<Exclude<MessageInitShape<typeof UpdateAppRequestSchema>, { $typeName: string }>, "app">;

const ann = callOf("ann");

function refusal(kind: ErrorKind, words: RegExp) {
  return (error: unknown) => (isNebulaError(error, kind) && words.test(error.message) ? true : assert.fail(`not ${kind} ${words}: ${String(error)}`));
}

describe("AppService", () => {
  let rig: EntityRig;
  beforeEach(async () => {
    rig = await startEntityRig();
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  async function createApp(app: AppInit = {}, context = ann, minRevision?: bigint): Promise<App> {
    const request = create(CreateAppRequestSchema, {
      app: { name: "web", dockerImage: "shop:1.4", ...app },
      ...(minRevision === undefined ? {} : { minRevision }),
    });
    return create(AppSchema, (await rig.apps.createApp(request, context)).app ?? assert.fail());
  }
  async function updateApp(app: AppInit, updateFields: string[], more: UpdateInit = {}, context = ann, handlers = rig.apps): Promise<App> {
    const request = create(UpdateAppRequestSchema, { app: { name: "web", ...app }, updateFields, ...more });
    return create(AppSchema, (await handlers.updateApp(request, context)).app ?? assert.fail());
  }
  const getApp = async (name = "web") => create(AppSchema, (await rig.apps.getApp(create(GetAppRequestSchema, { name }), ann)).app ?? assert.fail());
  const deleteApp = (name = "web", ifRevision?: bigint) =>
    rig.apps.deleteApp(create(DeleteAppRequestSchema, { name, ...(ifRevision === undefined ? {} : { ifRevision }) }), ann);
  const history = () => rig.store.history({ kind: "app", name: "web" }, { limit: 100 });

  describe("create", () => {
    it("stores the app at revision 1, in normal form, and says so to cache, feed and history", async () => {
      const app = await createApp({ revision: 77n, restartCount: 9n, startingPorts: [{ hostPort: 80, containerPort: 8080 }] });
      assert.deepEqual(
        app,
        create(AppSchema, {
          name: "web",
          revision: 1n,
          dockerImage: "shop:1.4",
          running: true,
          startingPorts: [{ hostPort: 80, containerPort: 8080, protocol: PortProtocol.TCP }],
          containersPer: { per: { case: "server", value: 1 } },
          minHealthyMs: 10_000,
          stopGraceSeconds: 10,
        }),
      );
      assert.deepEqual(await getApp(), app);
      assert.deepEqual(rig.told, ["app web 1"]);
      await eventually(() => rig.announced.length === 1);
      assert.deepEqual(rig.announced, [{ kind: "entity", entity: { kind: "app", name: "web" }, revision: 1n }]);
      const [first] = await history();
      assert.ok(first);
      assert.deepEqual([first.action, first.changedBy, first.deleted, fromBinary(AppSchema, first.body).revision], ["create", "ann", false, 1n]);
    });

    it("answers who changed it last, and when", async () => {
      await using at = await startEntityRig({ clock: new ManualClock(Date.UTC(2026, 4, 1)) });
      await at.apps.createApp(create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } }), callOf("bob"));
      const { lastChange } = create(GetAppResponseSchema, await at.apps.getApp(create(GetAppRequestSchema, { name: "web" }), ann));
      assert.deepEqual([lastChange?.by, lastChange?.at && timestampMs(lastChange.at)], ["bob", Date.UTC(2026, 4, 1)]);
    });

    it("refuses what exists, what is missing and what is wrong, with every violation", async () => {
      await createApp();
      await assert.rejects(createApp(), refusal("already_exists", /app web exists already, at revision 1/));
      await assert.rejects(rig.apps.createApp(create(CreateAppRequestSchema), ann), refusal("invalid_argument", /^app: is missing/));
      await assert.rejects(
        createApp({ name: "a/b", dockerImage: "", cpus: -1 }),
        (error) => isNebulaError(error, "invalid_argument") && error.violations.map(({ field }) => field).join() === "name,docker_image,cpus",
      );
      assert.deepEqual(rig.told, ["app web 1"]);
    });

    it("refuses fields of a newer version: to leave them out unsaid would be a lie", async () => {
      const request = create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } });
      if (request.app) request.app.$unknown = [{ no: 500, wireType: 0, data: Uint8Array.of(1) }];
      await assert.rejects(rig.apps.createApp(request, ann), refusal("invalid_argument", /^500: is not known to this manager/));
    });

    it("of one name by many at once is done by one", async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => createApp()));
      assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
      for (const outcome of outcomes) if (outcome.status === "rejected") assert.ok(isNebulaError(outcome.reason, "already_exists"));
    });

    it("goes on from the tombstone of its name, and never falls behind it", async () => {
      await createApp();
      await rig.apps.restartApp(create(RestartAppRequestSchema, { name: "web" }), ann);
      assert.equal((await deleteApp()).revision, 3n);
      const again = await createApp({ dockerImage: "shop:2" });
      assert.deepEqual([again.revision, again.dockerImage, again.restartCount], [4n, "shop:2", 1n]);
    });

    it("with min_revision is at least at that, for admins alone", async () => {
      assert.equal((await createApp({}, ann, 41n)).revision, 41n);
      await deleteApp();
      assert.equal((await createApp({}, ann, 5n)).revision, 43n);
      await assert.rejects(createApp({ name: "other" }, callOf("bob", { admin: false }), 5n), refusal("permission_denied", /min_revision/));
      await assert.rejects(createApp({ name: "other" }, ann, 2n ** 64n - 1n), refusal("invalid_argument", /min_revision: .*at most/));
    });
  });

  describe("update", () => {
    it("changes the named fields of what is stored", async () => {
      await createApp({ envVars: { REGION: "eu" }, running: false });
      const app = await updateApp({ dockerImage: "shop:1.5", envVars: { REGION: "ignored", NEW: "x" } }, ["docker_image", "env_vars.NEW"]);
      assert.deepEqual([app.revision, app.dockerImage, { ...app.envVars }, app.running], [2n, "shop:1.5", { REGION: "eu", NEW: "x" }, false]);
      assert.deepEqual(await getApp(), app);
      const [newest] = await history();
      assert.deepEqual([newest?.revision, newest?.action], [2n, "update"]);
    });

    it("gives what is named and absent its default, in normal form", async () => {
      await createApp({ running: false, stopGraceSeconds: 0, containersPer: { per: { case: "cpu", value: 2 } } });
      const app = await updateApp({}, ["running", "stop_grace_seconds", "containers_per"]);
      assert.deepEqual([app.running, app.stopGraceSeconds, app.containersPer?.per], [true, 10, { case: "server", value: 1 }]);
    });

    it("writes nothing where nothing differs, also where a default is given in other words", async () => {
      await createApp({ startingPorts: [{ hostPort: 80, containerPort: 80, protocol: PortProtocol.TCP }] });
      const same: AppInit = { dockerImage: "shop:1.4", running: true, startingPorts: [{ hostPort: 80, containerPort: 80 }], minHealthyMs: 10_000 };
      assert.equal((await updateApp(same, ["*"])).revision, 1n);
      assert.equal((await updateApp({ running: true }, ["running"], { ifRevision: 1n })).revision, 1n);
      assert.equal((await history()).length, 1);
      assert.deepEqual(rig.told, ["app web 1"]);
    });

    it("with redeploy writes all the same, and has the containers made anew", async () => {
      await createApp();
      const redeployed = await updateApp({}, [], { redeploy: true });
      assert.deepEqual([redeployed.revision, redeployed.restartCount], [2n, 1n]);
      const again = await updateApp({ dockerImage: "shop:1.4" }, ["docker_image"], { redeploy: true });
      assert.deepEqual([again.revision, again.restartCount], [3n, 2n]);
    });

    it("with redeploy, where something differs, is that change alone", async () => {
      await createApp();
      const scaled = await updateApp({ containersPer: { per: { case: "server", value: 3 } } }, ["containers_per"], { redeploy: true });
      assert.deepEqual([scaled.revision, scaled.restartCount], [2n, 0n]);
    });

    it("keeps what only the server writes", async () => {
      await createApp();
      await rig.apps.restartApp(create(RestartAppRequestSchema, { name: "web" }), ann);
      const app = await updateApp({ dockerImage: "shop:2", revision: 99n, restartCount: 99n }, ["*"]);
      assert.deepEqual([app.revision, app.restartCount], [3n, 1n]);
      await assert.rejects(updateApp({ restartCount: 5n }, ["restart_count"]), refusal("invalid_argument", /set by the server/));
    });

    it("is refused with nothing to change, unknown fields, and a result that can't be", async () => {
      await createApp();
      await assert.rejects(updateApp({}, []), refusal("invalid_argument", /^update_fields: is empty/));
      await assert.rejects(updateApp({}, ["docker_imag"]), refusal("invalid_argument", /^update_fields\[0\]: .*docker_image would do/));
      await assert.rejects(updateApp({}, ["docker_image"]), refusal("invalid_argument", /^docker_image: an image is required/));
      await assert.rejects(updateApp({ name: "" }, ["docker_image"]), refusal("invalid_argument", /^name: is missing/));
      await assert.rejects(
        rig.apps.updateApp(create(UpdateAppRequestSchema, { updateFields: ["*"] }), ann),
        refusal("invalid_argument", /^app: is missing/),
      );
      await assert.rejects(updateApp({ name: "none", dockerImage: "x" }, ["*"]), refusal("not_found", /there is no app none/));
      assert.equal((await getApp()).revision, 1n);
    });

    it("with if_revision is done at that revision alone, and a conflict names both", async () => {
      await createApp();
      assert.equal((await updateApp({ dockerImage: "shop:2" }, ["docker_image"], { ifRevision: 1n })).revision, 2n);
      await assert.rejects(
        updateApp({ dockerImage: "shop:3" }, ["docker_image"], { ifRevision: 1n }),
        refusal("conflict", /app web is at revision 2, not at 1 \(if_revision\)/),
      );
      await assert.rejects(deleteApp("web", 1n), refusal("conflict", /revision 2, not at 1/));
      assert.equal((await getApp()).dockerImage, "shop:2");
    });

    it("with min_revision reaches it once, for admins alone", async () => {
      await createApp();
      const import_ = (minRevision: bigint, context = ann) => updateApp({ dockerImage: "shop:1.4" }, ["*"], { minRevision }, context);
      assert.equal((await import_(41n)).revision, 41n);
      assert.equal((await import_(41n)).revision, 41n);
      assert.equal((await import_(7n)).revision, 41n);
      assert.equal((await updateApp({ dockerImage: "shop:2" }, ["docker_image"], { minRevision: 7n })).revision, 42n);
      await assert.rejects(import_(50n, callOf("bob", { admin: false })), refusal("permission_denied", /min_revision/));
    });

    it("keeps fields that only a newer manager knows, unless everything is replaced", async () => {
      const newer = create(AppSchema, { name: "web", dockerImage: "x" });
      newer.$unknown = [{ no: 500, wireType: 0, data: Uint8Array.of(7) }];
      const row = { kind: "app", name: "web", revision: 1n, expected: 0n, deleted: false, action: "create", changedAt: 0, changedBy: "" } as const;
      await rig.store.write({ ...row, body: toBinary(AppSchema, newer) });
      await updateApp({ dockerImage: "y" }, ["docker_image"]);
      const kept = await rig.store.get({ kind: "app", name: "web" });
      assert.deepEqual(kept && fromBinary(AppSchema, kept.body).$unknown?.map(({ no }) => no), [500]);
      await updateApp({ dockerImage: "z" }, ["*"]);
      const replaced = await rig.store.get({ kind: "app", name: "web" });
      assert.equal(replaced && fromBinary(AppSchema, replaced.body).$unknown, undefined);
    });

    it("merges 50 changes of different keys that come at once: all land, each with a revision of its own", async () => {
      await createApp({ envVars: { KEPT: "1" } });
      const keys = Array.from({ length: 50 }, (_, index) => `KEY_${index}`);
      const apps = await Promise.all(keys.map((key) => updateApp({ envVars: { [key]: key } }, [`env_vars.${key}`])));
      assert.deepEqual(new Set(apps.map(({ revision }) => revision)), new Set(keys.map((_, index) => BigInt(index + 2))));
      assert.deepEqual({ ...(await getApp()).envVars }, { KEPT: "1", ...Object.fromEntries(keys.map((key) => [key, key])) });
    });

    it("merges what comes through two shards at once: what is acknowledged is there, no revision is given twice", async () => {
      await createApp();
      const other = createAppServiceHandlers(rig.deps);
      const keys = Array.from({ length: 40 }, (_, index) => `KEY_${index}`);
      const outcomes = await Promise.allSettled(
        keys.map((key, index) => updateApp({ envVars: { [key]: key } }, [`env_vars.${key}`], {}, ann, index % 2 === 0 ? rig.apps : other)),
      );
      const landed = keys.filter((_, index) => outcomes[index]?.status === "fulfilled");
      for (const outcome of outcomes) if (outcome.status === "rejected") assert.ok(isNebulaError(outcome.reason, "conflict"), String(outcome.reason));
      assert.ok(landed.length >= 30, `${landed.length} landed`);
      const app = await getApp();
      assert.deepEqual(new Set(Object.keys(app.envVars)), new Set(landed));
      assert.equal(app.revision, BigInt(landed.length + 1));
    });

    it("tries 8 times where others are always faster, with if_revision once", async () => {
      let writes = 0;
      const losing = (store: ConfigStore): ConfigStore => ({
        ...plainStore(store),
        write: async (write) => (write.expected === 0n ? store.write(write) : { kind: "conflict", revision: write.expected + BigInt(++writes) }),
      });
      await using beaten = await startEntityRig({ wrapStore: losing });
      await beaten.apps.createApp(create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } }), ann);
      const update = (more: UpdateInit) => updateApp({ dockerImage: "y" }, ["docker_image"], more, ann, beaten.apps);
      await assert.rejects(update({}), refusal("conflict", /changed by others 8 times/));
      assert.equal(writes, 8);
      await assert.rejects(update({ ifRevision: 1n }), refusal("conflict", /is at revision 10, not at 1/));
      assert.equal(writes, 9);
      assert.deepEqual(beaten.told, ["app web 1"]);
    });

    it("whose outcome the store does not know says so, and announces nothing", async () => {
      const failing = (store: ConfigStore): ConfigStore => ({
        ...plainStore(store),
        write: async () => {
          throw new NebulaError("unavailable", "outcome unknown");
        },
      });
      await using broken = await startEntityRig({ wrapStore: failing });
      await assert.rejects(
        broken.apps.createApp(create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } }), ann),
        refusal("unavailable", /outcome unknown/),
      );
      assert.deepEqual(broken.told, []);
    });

    it("of a caller who has gone is not begun", async () => {
      await createApp();
      const gone = AbortSignal.abort(new NebulaError("cancelled", "gone"));
      await assert.rejects(updateApp({ dockerImage: "y" }, ["*"], {}, callOf("ann", { signal: gone })), refusal("cancelled", /gone/));
      assert.equal((await getApp()).revision, 1n);
    });
  });

  describe("delete", () => {
    it("leaves a tombstone, and says which groups still name the app", async () => {
      await createApp();
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", apps: ["web"] } }), ann);
      const { revision, warnings } = await deleteApp();
      assert.equal(revision, 2n);
      assert.deepEqual(warnings, ["app web is still named by 1 device_group: pos; their devices remove its containers"]);
      const tombstone = await rig.store.get({ kind: "app", name: "web" });
      assert.deepEqual([tombstone?.deleted, tombstone?.revision, tombstone?.action], [true, 2n, "delete"]);
      assert.equal(tombstone && fromBinary(AppSchema, tombstone.body).dockerImage, "shop:1.4");
      assert.deepEqual(rig.told.slice(-1), ["app web 2"]);
    });

    it("is of what exists: a deleted app can't be read, changed, started or deleted", async () => {
      await createApp();
      await deleteApp();
      const gone = refusal("not_found", /there is no app web/);
      await assert.rejects(getApp(), gone);
      await assert.rejects(deleteApp(), gone);
      await assert.rejects(updateApp({ dockerImage: "x" }, ["*"]), gone);
      await assert.rejects(rig.apps.startApp(create(StartAppRequestSchema, { name: "web" }), ann), gone);
      await assert.rejects(deleteApp(""), refusal("invalid_argument", /^name: is missing/));
    });
  });

  describe("start, stop and restart", () => {
    const start = async () => create(AppSchema, (await rig.apps.startApp(create(StartAppRequestSchema, { name: "web" }), ann)).app ?? assert.fail());
    const stop = async () => create(AppSchema, (await rig.apps.stopApp(create(StopAppRequestSchema, { name: "web" }), ann)).app ?? assert.fail());
    const restart = async (ifRevision?: bigint) =>
      create(
        AppSchema,
        (await rig.apps.restartApp(create(RestartAppRequestSchema, { name: "web", ...(ifRevision === undefined ? {} : { ifRevision }) }), ann)).app ??
          assert.fail(),
      );

    it("raise the revision at every call, and are told apart in the history", async () => {
      await createApp();
      const seen = [await start(), await stop(), await stop(), await start(), await restart()];
      assert.deepEqual(
        seen.map(({ revision, running, restartCount }) => [revision, running, restartCount]),
        [
          [2n, true, 0n],
          [3n, false, 0n],
          [4n, false, 0n],
          [5n, true, 0n],
          [6n, true, 1n],
        ],
      );
      assert.deepEqual(
        (await history()).map(({ action }) => action),
        ["restart", "start", "stop", "stop", "start", "create"],
      );
    });

    it("restart what runs", async () => {
      await createApp({ running: false });
      await assert.rejects(restart(), refusal("failed_precondition", /app web is not running/));
    });

    it("are held to if_revision", async () => {
      await createApp();
      assert.equal((await restart(1n)).revision, 2n);
      await assert.rejects(restart(1n), refusal("conflict", /revision 2, not at 1/));
    });

    it("stop an app that the rules of today would refuse", async () => {
      const row = { kind: "app", name: "web", revision: 1n, expected: 0n, deleted: false, action: "create", changedAt: 0, changedBy: "" } as const;
      await rig.store.write({ ...row, body: toBinary(AppSchema, create(AppSchema, { name: "web", dockerImage: "NOT AN IMAGE" })) });
      assert.equal((await stop()).running, false);
    });
  });

  describe("list", () => {
    const list = (fields: MessageInitShape<typeof ListAppsRequestSchema>) => rig.apps.listApps(create(ListAppsRequestSchema, fields), ann);

    it("goes by name, page by page, without what is deleted", async () => {
      for (const name of ["c", "a", "b", "d"]) await createApp({ name });
      await deleteApp("b");
      const names: string[] = [];
      let pages = 0;
      for (let pageToken = ""; ; pages++) {
        const page = await list({ pageSize: 2, pageToken });
        names.push(...(page.apps ?? []).map(({ name }) => name ?? ""));
        pageToken = page.nextPageToken ?? "";
        if (pageToken === "") break;
      }
      assert.deepEqual([names, pages], [["a", "c", "d"], 1]);
    });

    it("refuses pages that are too large", async () => {
      await assert.rejects(list({ pageSize: 1001 }), refusal("invalid_argument", /page_size/));
    });
  });

  describe("warnings", () => {
    const warnings = async (app: AppInit) =>
      (await rig.apps.updateApp(create(UpdateAppRequestSchema, { app: { name: "web", ...app }, updateFields: ["starting_ports", "networks"] }), ann))
        .warnings;

    it("are said of ports that another app of a group claims, and of ports that are ignored", async () => {
      await createApp();
      await createApp({ name: "proxy", startingPorts: [{ hostPort: 80, containerPort: 80 }] });
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", apps: ["proxy", "web"] } }), ann);
      assert.deepEqual(await warnings({}), []);
      const ports = [{ hostPort: 80, containerPort: 8080 }];
      assert.deepEqual(await warnings({ startingPorts: ports }), [
        "device_group pos: apps proxy and web both claim host port 80/tcp; proxy comes first and gets it",
      ]);
      assert.match(String(await warnings({ startingPorts: ports, networks: ["host"] })), /^app web: its ports are ignored/);
    });

    it("cost nothing but themselves when the store fails", async () => {
      const failing = (store: ConfigStore): ConfigStore => ({
        ...plainStore(store),
        groupsNaming: async () => {
          throw new NebulaError("unavailable", "gone");
        },
      });
      await using broken = await startEntityRig({ wrapStore: failing });
      const { app, warnings } = await broken.apps.createApp(create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } }), ann);
      assert.deepEqual([app?.revision, warnings], [1n, []]);
    });
  });
});

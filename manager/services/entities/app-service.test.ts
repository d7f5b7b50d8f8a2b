import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../../common/storage/config-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import {
  AppSchema,
  CreateAppRequestSchema,
  GetAppRequestSchema,
  GetAppResponseSchema,
  ListAppsRequestSchema,
  PortProtocol,
  RestartAppRequestSchema,
  StartAppRequestSchema,
  StopAppRequestSchema,
  UpdateAppRequestSchema,
} from "../../../gen/nebula/v1/app_pb.ts";
import { CreateDeviceGroupRequestSchema, UpdateDeviceGroupRequestSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { rightsOf } from "../../access/rights/rights.ts";
import { AppCalls, type AppInit, answered, refusal } from "../../testing/app-calls.ts";
import { callOf, type EntityRig, startEntityRig } from "../../testing/entity-rig.ts";
import { plainStore } from "../../testing/plain-store.ts";

const ann = callOf("ann");

describe("AppService", () => {
  let rig: EntityRig;
  let web: AppCalls;
  beforeEach(async () => {
    rig = await startEntityRig();
    web = new AppCalls(rig);
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  describe("create", () => {
    it("a create stores the app at revision 1, in normal form, and announces it to cache, feed and history", async () => {
      const app = await web.create({ revision: 77n, restartCount: 9n, startingPorts: [{ hostPort: 80, containerPort: 8080 }] });
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
      assert.deepEqual(await web.get(), app);
      assert.deepEqual(rig.told, ["app web 1"]);
      await eventually(() => rig.announced.length === 1);
      assert.deepEqual(rig.announced, [{ kind: "entity", entity: { kind: "app", name: "web" }, revision: 1n }]);
      const [first] = await web.history();
      assert.ok(first);
      assert.deepEqual([first.action, first.changedBy, first.deleted, fromBinary(AppSchema, first.body).revision], ["create", "ann", false, 1n]);
    });

    it("an app says who changed it last, and when", async () => {
      await using at = await startEntityRig({ clock: new ManualClock(Date.UTC(2026, 4, 1)) });
      await at.apps.createApp(create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } }), callOf("bob"));
      const { lastChange } = create(GetAppResponseSchema, await at.apps.getApp(create(GetAppRequestSchema, { name: "web" }), ann));
      assert.deepEqual([lastChange?.by, lastChange?.at && timestampMs(lastChange.at)], ["bob", Date.UTC(2026, 4, 1)]);
    });

    it("an app says whether its reader may change it", async () => {
      await web.create();
      const readBy = async (apps: Record<string, string>) => {
        const rights = rightsOf([{ admin: false, pruningAllowed: false, apps, cronJobs: {}, deviceGroups: {} }]);
        const context = { ...ann, principal: { kind: "user" as const, name: "bob", rights } };
        return (await rig.apps.getApp(create(GetAppRequestSchema, { name: "web" }), context)).mayWrite;
      };
      assert.deepEqual([await readBy({ web: "ro" }), await readBy({ "w*": "rw" })], [false, true]);
    });

    it("a create of an app that exists, lacks a field or is invalid is refused, with every violation", async () => {
      await web.create();
      await assert.rejects(web.create(), refusal("already_exists", /app web exists already, at revision 1/));
      await assert.rejects(rig.apps.createApp(create(CreateAppRequestSchema), ann), refusal("invalid_argument", /^app: is missing/));
      await assert.rejects(
        web.create({ name: "a/b", dockerImage: "", cpus: -1 }),
        (error) => isNebulaError(error, "invalid_argument") && error.violations.map(({ field }) => field).join() === "name,docker_image,cpus",
      );
      assert.deepEqual(rig.told, ["app web 1"]);
    });

    it("a create with fields of a newer version is refused: to leave them out silently would be wrong", async () => {
      const request = create(CreateAppRequestSchema, { app: { name: "web", dockerImage: "x" } });
      if (request.app) request.app.$unknown = [{ no: 500, wireType: 0, data: Uint8Array.of(1) }];
      await assert.rejects(rig.apps.createApp(request, ann), refusal("invalid_argument", /^500: is not known to this manager/));
    });

    it("a create of one name by many callers at once succeeds once", async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => web.create()));
      assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
      for (const outcome of outcomes) if (outcome.status === "rejected") assert.ok(isNebulaError(outcome.reason, "already_exists"));
    });

    it("a create continues from the tombstone of its name, and never falls behind it", async () => {
      await web.create();
      await rig.apps.restartApp(create(RestartAppRequestSchema, { name: "web" }), ann);
      assert.equal((await web.delete()).revision, 3n);
      const again = await web.create({ dockerImage: "shop:2" });
      assert.deepEqual([again.revision, again.dockerImage, again.restartCount], [4n, "shop:2", 1n]);
    });

    it("a create with min_revision has at least that revision, for admins alone", async () => {
      assert.equal((await web.create({}, ann, 41n)).revision, 41n);
      await web.delete();
      assert.equal((await web.create({}, ann, 5n)).revision, 43n);
      await assert.rejects(web.create({ name: "other" }, callOf("bob", { admin: false }), 5n), refusal("permission_denied", /min_revision/));
      await assert.rejects(web.create({ name: "other" }, ann, 2n ** 64n - 1n), refusal("invalid_argument", /min_revision: .*at most/));
    });
  });

  describe("delete", () => {
    it("a delete leaves a tombstone, and answers which groups still name the app", async () => {
      await web.create();
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", apps: ["web"] } }), ann);
      const { revision, warnings } = await web.delete();
      assert.equal(revision, 2n);
      assert.deepEqual(warnings, ["app web is still named by 1 device_group: pos; its devices remove the containers of web"]);
      const tombstone = await rig.store.get({ kind: "app", name: "web" });
      assert.deepEqual([tombstone?.deleted, tombstone?.revision, tombstone?.action], [true, 2n, "delete"]);
      assert.equal(tombstone && fromBinary(AppSchema, tombstone.body).dockerImage, "shop:1.4");
      assert.deepEqual(rig.told.slice(-1), ["app web 2"]);
    });

    it("a deleted app cannot be read, changed, started or deleted", async () => {
      await web.create();
      await web.delete();
      const gone = refusal("not_found", /there is no app "web"/);
      await assert.rejects(web.get(), gone);
      await assert.rejects(web.delete(), gone);
      await assert.rejects(web.update({ dockerImage: "x" }, ["*"]), gone);
      await assert.rejects(rig.apps.startApp(create(StartAppRequestSchema, { name: "web" }), ann), gone);
      await assert.rejects(web.delete(""), refusal("invalid_argument", /^name: is missing/));
    });
  });

  describe("start, stop and restart", () => {
    const start = async () => answered((await rig.apps.startApp(create(StartAppRequestSchema, { name: "web" }), ann)).app);
    const stop = async () => answered((await rig.apps.stopApp(create(StopAppRequestSchema, { name: "web" }), ann)).app);
    const restart = async (ifRevision?: bigint) =>
      answered(
        (await rig.apps.restartApp(create(RestartAppRequestSchema, { name: "web", ...(ifRevision === undefined ? {} : { ifRevision }) }), ann)).app,
      );

    it("a start, stop or restart raises the revision at every call, and is distinct in the history", async () => {
      await web.create();
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
        (await web.history()).map(({ action }) => action),
        ["restart", "start", "stop", "stop", "start", "create"],
      );
    });

    it("a restart is refused for an app that is not running", async () => {
      await web.create({ running: false });
      await assert.rejects(restart(), refusal("failed_precondition", /app web is not running/));
    });

    it("a start, stop or restart honours if_revision", async () => {
      await web.create();
      assert.equal((await restart(1n)).revision, 2n);
      await assert.rejects(restart(1n), refusal("conflict", /revision 2, not at 1/));
    });

    it("an app that was stored with the key __proto__, which writes refuse, can be read, listed, stopped and repaired", async () => {
      const row = { kind: "app", name: "web", revision: 1n, expected: 0n, deleted: false, action: "create", changedAt: 0, changedBy: "" } as const;
      const envVars: Record<string, string> = JSON.parse('{"__proto__": "x", "A": "b"}');
      await rig.store.write({ ...row, body: toBinary(AppSchema, create(AppSchema, { name: "web", dockerImage: "shop:1", envVars })) });
      assert.deepEqual(Object.entries((await web.get()).envVars).sort(), [
        ["A", "b"],
        ["__proto__", "x"],
      ]);
      const listed = await rig.apps.listApps(create(ListAppsRequestSchema, {}), ann);
      assert.deepEqual(Object.keys(listed.apps?.[0]?.envVars ?? {}).sort(), ["A", "__proto__"]);
      assert.equal((await stop()).running, false);
      await assert.rejects(web.update({ running: true }, ["running"]), refusal("invalid_argument", /^env_vars.__proto__: invalid name "__proto__"/));
      assert.deepEqual((await web.update({ running: true }, ["running", "env_vars.__proto__"])).envVars, { A: "b" });
    });

    it("a stop succeeds for an app that the rules of today would refuse", async () => {
      const row = { kind: "app", name: "web", revision: 1n, expected: 0n, deleted: false, action: "create", changedAt: 0, changedBy: "" } as const;
      await rig.store.write({ ...row, body: toBinary(AppSchema, create(AppSchema, { name: "web", dockerImage: "NOT AN IMAGE" })) });
      assert.equal((await stop()).running, false);
    });
  });

  describe("list", () => {
    const list = (fields: MessageInitShape<typeof ListAppsRequestSchema>) => rig.apps.listApps(create(ListAppsRequestSchema, fields), ann);

    it("a list goes by name, page by page, without deleted apps", async () => {
      for (const name of ["c", "a", "b", "d"]) await web.create({ name });
      await web.delete("b");
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

    it("a list refuses pages that are too large", async () => {
      await assert.rejects(list({ pageSize: 1001 }), refusal("invalid_argument", /page_size/));
    });
  });

  describe("warnings about workers of the original", () => {
    const startingPorts = [
      { hostPort: 80, containerPort: 80 },
      { hostPort: 53, containerPort: 53, protocol: PortProtocol.UDP },
      { hostAddress: "127.0.0.1", hostPort: 8080, containerPort: 80 },
    ];
    const written = async (app: AppInit) =>
      (await rig.apps.updateApp(create(UpdateAppRequestSchema, { app: { name: "web", ...app }, updateFields: ["starting_ports"] }), ann)).warnings;

    it("a warning about workers of the original names the ports that they do not know, where they poll a group of the app", async () => {
      await web.create();
      const deviceGroup = { name: "pos", apps: ["web"] };
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup }), ann);
      assert.deepEqual(await written({ startingPorts }), [], "nobody polls");
      rig.polled.add("pos");
      const warning =
        "workers of the original that poll device_group pos get app web without host port 53/udp and 127.0.0.1:8080/tcp: they know neither UDP nor host addresses";
      assert.deepEqual(await written({ startingPorts }), [warning]);
      const update = create(UpdateDeviceGroupRequestSchema, { deviceGroup, updateFields: ["apps"] });
      assert.deepEqual((await rig.groups.updateDeviceGroup(update, ann)).warnings, [warning]);
      assert.deepEqual(await written({ startingPorts: startingPorts.slice(0, 1) }), []);
    });
  });

  describe("warnings", () => {
    const warnings = async (app: AppInit) =>
      (await rig.apps.updateApp(create(UpdateAppRequestSchema, { app: { name: "web", ...app }, updateFields: ["starting_ports", "networks"] }), ann))
        .warnings;

    it("warnings name ports that another app of a group claims, and ports that are ignored", async () => {
      await web.create();
      await web.create({ name: "proxy", startingPorts: [{ hostPort: 80, containerPort: 80 }] });
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", apps: ["proxy", "web"] } }), ann);
      assert.deepEqual(await warnings({}), []);
      const ports = [{ hostPort: 80, containerPort: 8080 }];
      assert.deepEqual(await warnings({ startingPorts: ports }), [
        "device_group pos: apps proxy and web both claim host port 80/tcp; proxy comes first and gets it",
      ]);
      assert.match(String(await warnings({ startingPorts: ports, networks: ["host"] })), /^app web: its ports are ignored/);
    });

    it("warnings are left out when the store fails, and the write succeeds", async () => {
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

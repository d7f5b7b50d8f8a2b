import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { systemClock } from "../../common/clock/system-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports, statusRow } from "../../common/testing/save-reports.ts";
import { type AppSchema, CreateAppRequestSchema, DeleteAppRequestSchema, UpdateAppRequestSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CreateDeviceGroupRequestSchema, UpdateDeviceGroupRequestSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import {
  DeviceStepKind,
  PlannedKind,
  PlannedVerb,
  PlanRequestSchema,
  type PlanResponseSchema,
  PlanWarningCode,
} from "../../gen/nebula/v1/plan_pb.ts";
import { type AppStatusSchema, ContainerState, FailureCode, type ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { rightsOf } from "../access/rights/rights.ts";
import { DeviceConnections } from "../insight/presence/device-connections.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { callOf, startEntityRig } from "../testing/entity-rig.ts";
import { putTestDevice, putTestUserGroup } from "../testing/test-access.ts";
import { createPlanServiceHandlers } from "./plan-service.ts";

type AppInit = Omit<MessageInitShape<typeof AppSchema>, "$typeName" | "name">;
type ReportInit = Omit<MessageInitShape<typeof ReportSchema>, "$typeName">;
type AppStatusInit = Omit<MessageInitShape<typeof AppStatusSchema>, "$typeName">;
type Change = NonNullable<MessageInitShape<typeof PlanRequestSchema>["changes"]>[number];

const MB = 2n ** 20n;
const admin = callOf("admin");
const app = (name: string, init: AppInit): Change => ({ change: { case: "app", value: { name, ...init } } });
const group = (name: string, apps: string[]): Change => ({ change: { case: "deviceGroup", value: { name, apps } } });
const act = (name: string, verb: PlannedVerb, kind: PlannedKind = PlannedKind.APP): Change => ({
  change: { case: "action", value: { kind, name, verb } },
});

function reader(apps: Record<string, string>, deviceGroups: Record<string, string>): CallContext {
  const rights = rightsOf([{ admin: false, pruningAllowed: false, apps, cronJobs: {}, deviceGroups }]);
  return { ...admin, principal: { kind: "user", name: "reader", rights } };
}

async function start() {
  await using parts = new AsyncDisposableStack();
  const rig = parts.use(await startEntityRig());
  const reportStore = parts.use(await openSqliteReportStore({ path: ":memory:" }));
  const accessStore = parts.use(await openSqliteAccessStore({ path: ":memory:" }));
  await reportStore.markShard({ boot: "own", name: "m-1", address: "m-1:50051", seenMs: Date.now() });
  const deviceConnections = new DeviceConnections({ store: reportStore, ownBoot: "own", clock: systemClock });
  const { secretKeys } = rig.deps;
  const deps = { configStore: rig.store, secretKeys, accessStore, reportStore, deviceConnections, localAdmin: "admin", clock: systemClock };
  const service = createPlanServiceHandlers(deps);
  const opened = parts.move();
  return {
    ...rig,
    deps,
    accessStore,
    plan: (changes: Change[], context = admin) => service.plan(create(PlanRequestSchema, { changes }), context),
    createApp: (name: string, init: AppInit) => rig.apps.createApp(create(CreateAppRequestSchema, { app: { name, ...init } }), admin),
    updateApp: (name: string, init: AppInit) =>
      rig.apps.updateApp(create(UpdateAppRequestSchema, { app: { name, ...init }, updateFields: ["*"] }), admin),
    createGroup: (name: string, apps: string[]) =>
      rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name, apps } }), admin),
    report: async (deviceId: string, deviceGroup: string, report: ReportInit = {}) => {
      const { id, epoch } = rig.store.cluster;
      const host = { cpuCores: 4, memoryTotalBytes: 4096n * MB, diskTotalBytes: 1000n * MB, diskFreeBytes: 500n * MB };
      const row = statusRow(sampleReport({ deviceId, deviceGroup, cluster: { id, epoch }, host, ...report }));
      await saveReports(reportStore, { statuses: [row] });
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** The status of app web on a device that runs this revision. */
function running(revision: bigint, { image = "shop:1", imageBytes = 0n }: { image?: string; imageBytes?: bigint } = {}): AppStatusInit {
  const container = { name: "web-1", image, imageBytes, revision, state: ContainerState.RUNNING };
  return { name: "web", revision, appliedRevision: revision, state: TargetState.APPLIED, containers: [container] };
}

const stepsOf = (plan: MessageInitShape<typeof PlanResponseSchema>) =>
  (plan.steps ?? []).map(({ step, containers = 0, image = "", devices = 0 }) => [step, containers, image, devices]);

describe("PlanService", () => {
  it("a plan has the differences, the revisions, and the steps of the devices, and writes nothing", async () => {
    await using rig = await start();
    await rig.createApp("web", { dockerImage: "shop:1", secretEnvVars: { TOKEN: "hush" } });
    await rig.createGroup("pos", ["web"]);
    await rig.report("d1", "pos", { apps: [running(1n)] });
    await rig.report("d2", "pos", { apps: [running(1n)] });
    await putTestDevice(rig.accessStore, "d3", "pos");
    const watch = { deviceGroup: "pos", shardBoot: "own", stream: 1, ended: false, atMs: Date.now() };
    await rig.deps.reportStore.savePresence([
      { ...watch, deviceId: "d1" },
      { ...watch, deviceId: "silent" }, // it never reported
      { ...watch, deviceId: "d1", deviceGroup: "offices", shardBoot: "gone" },
    ]);
    const plan = await rig.plan([app("web", { dockerImage: "shop:2", secretEnvVars: { TOKEN: "other" } }), group("pos", ["web"])]);
    const [web, pos] = plan.entities ?? [];
    assert.deepEqual([web?.revisionBefore, web?.revisionAfter, pos?.revisionBefore, pos?.revisionAfter], [1n, 2n, 1n, 1n]);
    assert.deepEqual(
      web?.differences?.map(({ field, beforeJson, afterJson }) => [field, beforeJson?.replace(/[0-9a-f]{8}/, "#"), afterJson]),
      [
        ["docker_image", '"shop:1"', '"shop:2"'],
        ["secret_env_vars", '{"TOKEN":"secret:#"}', '{"TOKEN":"(a value)"}'],
      ],
    );
    assert.deepEqual({ ...plan.reach }, { devices: 3, connected: 2, offline: 1, neverCame: 1, unforeseen: 1, idle: 0 });
    assert.deepEqual(stepsOf(plan), [
      [DeviceStepKind.RECREATE, 1, "", 2],
      [DeviceStepKind.PULL, 0, "docker.io/library/shop:2", 2],
    ]);
    assert.deepEqual(await rig.store.revisions([{ kind: "app", name: "web" }]), [1n]);
    assert.ok(!JSON.stringify(plan, (_, value) => (typeof value === "bigint" ? String(value) : value)).includes("hush"));
    const again = await rig.plan([app("web", { dockerImage: "shop:2", secretEnvVars: { TOKEN: "other" } }), group("pos", ["web"])]);
    assert.equal(again.id, plan.id);
    const same = await rig.plan([app("web", { dockerImage: "shop:1", secretEnvVars: { TOKEN: "hush" } })]);
    assert.deepEqual([same.changesAnything, same.groupCount], [false, 0]);
  });

  it("a plan knows the containers of older revisions, and which devices had not followed the last change", async () => {
    await using rig = await start();
    await rig.createApp("web", { dockerImage: "shop:1" });
    await rig.createGroup("pos", ["web"]);
    await rig.updateApp("web", { dockerImage: "shop:2" });
    await rig.report("newest", "pos", { apps: [running(2n, { image: "shop:2" })] });
    await rig.report("older", "pos", { apps: [running(1n)] });
    const failed = { ...running(1n), revision: 2n, state: TargetState.FAILED, failureCode: FailureCode.NO_SPACE, reason: "no space left" };
    await rig.report("stuck", "pos", { apps: [failed] });
    const back = await rig.plan([app("web", { dockerImage: "shop:1" })]);
    assert.deepEqual(stepsOf(back), [
      [DeviceStepKind.RECREATE, 1, "", 1],
      [DeviceStepKind.PULL, 0, "docker.io/library/shop:1", 1],
    ]);
    assert.deepEqual(
      back.devices?.map(({ deviceId }) => deviceId),
      ["newest"],
    );
    assert.equal(back.behindCount, 2);
    assert.deepEqual(
      back.behind?.map(({ deviceId, state, reason, revision }) => [deviceId, state, reason, revision]),
      [
        ["older", "offline", "", 2n],
        ["stuck", "failed", "no space left", 2n],
      ],
    );
  });

  it("a plan of verbs stops, starts, restarts and deletes", async () => {
    await using rig = await start();
    await rig.createApp("web", { dockerImage: "shop:1" });
    await rig.createGroup("pos", ["web"]);
    await rig.report("d1", "pos", { apps: [running(1n)] });
    assert.deepEqual(stepsOf(await rig.plan([act("web", PlannedVerb.STOP)])), [[DeviceStepKind.STOP, 1, "", 1]]);
    assert.deepEqual(stepsOf(await rig.plan([act("web", PlannedVerb.DELETE)])), [[DeviceStepKind.REMOVE, 1, "", 1]]);
    const restart = await rig.plan([act("web", PlannedVerb.RESTART)]);
    assert.deepEqual(stepsOf(restart)[0], [DeviceStepKind.RECREATE, 1, "", 1]);
    assert.notEqual(restart.id, (await rig.plan([act("web", PlannedVerb.START)])).id);
    const group = await rig.plan([act("pos", PlannedVerb.DELETE, PlannedKind.DEVICE_GROUP)]);
    assert.deepEqual([stepsOf(group), group.reach?.idle], [[], 1]);
    await assert.rejects(rig.plan([act("api", PlannedVerb.DELETE)]), (error) => isNebulaError(error, "not_found"));
    await assert.rejects(rig.plan([act("pos", PlannedVerb.STOP, PlannedKind.DEVICE_GROUP)]), (error) => isNebulaError(error, "invalid_argument"));
  });

  it("a plan warns of shared ports, ignored ports, dangling names, large configs, full disks, old workers and impossible counts", async () => {
    await using rig = await start();
    const port = { hostPort: 80, containerPort: 80 };
    await rig.createApp("api", { dockerImage: "shop:1", startingPorts: [port] });
    await rig.createApp("web", { dockerImage: "shop:1" });
    await rig.createApp("old", { dockerImage: "shop:1" });
    await rig.createGroup("pos", ["api", "web", "old"]);
    await rig.plan([act("old", PlannedVerb.DELETE)]);
    const tooOld = { name: "api", revision: 1n, state: TargetState.FAILED, failureCode: FailureCode.WORKER_TOO_OLD };
    const web = running(1n, { imageBytes: 600n * MB });
    await rig.report("d1", "pos", { apps: [web, tooOld] });
    const codes = async (changes: Change[]) => new Set((await rig.plan(changes)).warnings?.map(({ code }) => code));
    const of = async (changes: Change[], code: PlanWarningCode) => assert.ok((await codes(changes)).has(code), `no warning ${code}`);
    await of([app("web", { dockerImage: "shop:2", startingPorts: [port] })], PlanWarningCode.PORT_SHARED);
    await of([app("web", { dockerImage: "shop:2", networks: ["host"], startingPorts: [port] })], PlanWarningCode.PORTS_IGNORED);
    await of([act("old", PlannedVerb.DELETE)], PlanWarningCode.DANGLING_NAME);
    const large = Array.from({ length: 20 }, (_, index) => `large-${index}`);
    const fat = { dockerImage: "shop:2", envVars: { A: "x".repeat(20_000), B: "x".repeat(20_000), C: "x".repeat(20_000) } };
    await of([...large.map((name) => app(name, fat)), group("pos", large)], PlanWarningCode.CONFIG_LARGE);
    await of([app("web", { dockerImage: "shop:2" })], PlanWarningCode.DISK_FULL);
    await of([app("api", { dockerImage: "shop:2" })], PlanWarningCode.WORKER_TOO_OLD);
    await of([app("web", { dockerImage: "shop:2", containersPer: { per: { case: "cpu", value: 1000 } } })], PlanWarningCode.COUNT_INVALID);
    assert.deepEqual(await codes([app("old", { dockerImage: "shop:1", envVars: { A: "b" } })]), new Set());
  });

  it("a plan of a user_group warns of members without a user, also where the user_group stays as it is, and one of its delete does not", async () => {
    await using rig = await start();
    await putTestUserGroup(rig.accessStore, "staff", ["ann", "admin"], {});
    const staff = (groupMembers: string[]): Change => ({ change: { case: "userGroup", value: { name: "staff", groupMembers } } });
    const warnings = async (change: Change) => (await rig.plan([change])).warnings?.map(({ code, message }) => [code, message]);
    const missing = [PlanWarningCode.DANGLING_NAME, "user_group staff names the user ann, which does not exist"];
    assert.deepEqual(await warnings(staff(["ann", "admin"])), [missing]);
    assert.deepEqual(await warnings(staff(["ann", "bob"])), [[missing[0], "user_group staff names users that do not exist: ann and bob"]]);
    assert.deepEqual(await warnings(staff(["admin"])), []);
    assert.deepEqual(await warnings(act("staff", PlannedVerb.DELETE, PlannedKind.USER_GROUP)), []);
  });

  it("a plan warns of a name that does not exist in the words of the write of its device_group", async () => {
    await using rig = await start();
    await rig.createApp("old", { dockerImage: "shop:1" });
    await rig.createGroup("pos", ["old"]);
    const [planned] = (await rig.plan([act("old", PlannedVerb.DELETE)])).warnings ?? [];
    await rig.apps.deleteApp(create(DeleteAppRequestSchema, { name: "old" }), admin);
    const request = create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", cronJobs: [] }, updateFields: ["cron_jobs"] });
    const { warnings } = await rig.groups.updateDeviceGroup(request, admin);
    assert.deepEqual([planned?.message], warnings);
    assert.deepEqual(warnings, ["device_group pos names the app old, which does not exist"]);
  });

  it("a plan counts workers as too old that are connected, have not reported, and have a version that others reported so of", async () => {
    await using rig = await start();
    await rig.createApp("web", { dockerImage: "shop:1" });
    await rig.createApp("api", { dockerImage: "shop:1" });
    await rig.createGroup("offices", ["api", "web"]);
    await rig.createGroup("pos", ["web"]);
    const tooOld = { name: "web", revision: 1n, state: TargetState.FAILED, failureCode: FailureCode.WORKER_TOO_OLD };
    await rig.report("d1", "pos", { workerVersion: "0.1.10", apps: [tooOld] });
    const open = { deviceGroup: "pos", shardBoot: "own", stream: 1, ended: false, atMs: Date.now() };
    await rig.deps.reportStore.savePresence([
      { ...open, deviceId: "same", workerVersion: "0.1.10" },
      { ...open, deviceId: "older", workerVersion: "0.1.9" },
      { ...open, deviceId: "newer", workerVersion: "0.2.0" },
      { ...open, deviceId: "unknown" },
      { ...open, deviceId: "gone", workerVersion: "0.1.10", ended: true },
      { ...open, deviceId: "office", deviceGroup: "offices", workerVersion: "0.1.10" },
    ]);
    const warned = async (name: string) =>
      (await rig.plan([app(name, { dockerImage: "shop:2" })])).warnings
        ?.filter(({ code }) => code === PlanWarningCode.WORKER_TOO_OLD)
        .map(({ devices, message }) => [devices, message]);
    assert.deepEqual(await warned("web"), [[4, "4 devices have workers that do not know all fields; upgrade them first"]]);
    assert.deepEqual(await warned("api"), [], "nobody reported so of it");
  });

  it("a plan counts a device that moves in one of the groups", async () => {
    await using rig = await start();
    await rig.createApp("web", { dockerImage: "shop:1" });
    await rig.createGroup("offices", ["web"]);
    await rig.createGroup("pos", ["web"]);
    await rig.report("mover", "offices", { apps: [running(1n)] });
    const watch = { shardBoot: "own", deviceId: "mover", atMs: Date.now() };
    await rig.deps.reportStore.savePresence([
      { ...watch, deviceGroup: "offices", stream: 1, ended: true },
      { ...watch, deviceGroup: "pos", stream: 2, ended: false },
    ]);
    const { reach, groups } = await rig.plan([app("web", { dockerImage: "shop:2" })]);
    assert.deepEqual(
      [reach?.devices, groups?.map((each) => [each.name, each.reach?.devices])],
      [
        1,
        [
          ["offices", 1],
          ["pos", 0],
        ],
      ],
    );
  });

  it("a plan needs ro on what it names, counts the groups that the caller may not read, and names no device of them", async () => {
    await using rig = await start();
    await rig.createApp("web", { dockerImage: "shop:1", secretEnvVars: { TOKEN: "hush" } });
    await rig.createApp("hidden", { dockerImage: "shop:1" });
    await rig.createGroup("pos", ["web"]);
    await rig.createGroup("offices", ["web"]);
    await rig.report("d1", "pos", { apps: [running(1n)] });
    await rig.report("d2", "offices", { apps: [running(1n)] });
    const caller = reader({ web: "ro" }, { pos: "ro" });
    const kept = (await rig.apps.getApp({ $typeName: "nebula.v1.GetAppRequest", name: "web" }, admin)).app?.secretEnvVars ?? {};
    const plan = await rig.plan([app("web", { dockerImage: "shop:2", secretEnvVars: { ...kept } })], caller);
    assert.deepEqual([plan.groupCount, plan.hiddenGroups, plan.reach?.devices], [1, 1, 1]);
    assert.deepEqual(
      plan.devices?.map(({ deviceId }) => deviceId),
      ["d1"],
    );
    assert.deepEqual(
      plan.read?.map(({ name }) => name),
      ["web", "pos"],
    );
    const denied = (error: unknown) => isNebulaError(error, "permission_denied");
    await assert.rejects(rig.plan([app("hidden", { dockerImage: "shop:1" })], caller), denied);
    await assert.rejects(rig.plan([act("hidden", PlannedVerb.DELETE)], caller), denied);
    await assert.rejects(rig.plan([app("nothing", { dockerImage: "shop:1" })], caller), denied);
    await assert.rejects(rig.plan([group("pos", ["web", "hidden"])], caller), denied);
    await assert.rejects(rig.plan([group("offices", ["web"])], caller), denied);
    await assert.rejects(rig.plan([{ change: { case: "userGroup", value: { name: "staff" } } }], caller), denied);
    // a plan that calls a guessed value unchanged would give it away
    await assert.rejects(rig.plan([app("web", { dockerImage: "shop:1", secretEnvVars: { TOKEN: "hush" } })], caller), denied);
  });

  it("a plan says of each entity whether the caller may write it", async () => {
    await using rig = await start();
    const changes = [app("web", { dockerImage: "shop:1" }), app("api", { dockerImage: "shop:1" }), group("pos", [])];
    const readBy = async (context: CallContext) => (await rig.plan(changes, context)).entities?.map(({ mayWrite }) => mayWrite);
    assert.deepEqual(await readBy(reader({ web: "rw", api: "ro" }, { "*": "rw" })), [true, false, true]);
    assert.deepEqual(await readBy(admin), [true, true, true]);
    const userGroup = await rig.plan([{ change: { case: "userGroup", value: { name: "ops" } } }]);
    assert.equal(userGroup.entities?.[0]?.mayWrite, true);
  });

  it("a plan refuses what its write refuses, and an entity that is named twice", async () => {
    await using rig = await start();
    const refused = (field: RegExp) => (error: unknown) => isNebulaError(error, "invalid_argument") && field.test(error.violations[0]?.field ?? "");
    await assert.rejects(rig.plan([]), refused(/^changes$/));
    await assert.rejects(rig.plan([{}]), refused(/^changes\[0\]$/));
    await assert.rejects(rig.plan([app("web", { dockerImage: "" })]), refused(/^changes\[0\]\.docker_image$/));
    await assert.rejects(rig.plan([app("web", { dockerImage: "a" }), app("web", { dockerImage: "b" })]), refused(/^changes\[1\]$/));
    await assert.rejects(rig.plan([group("pos", ["web"])]), refused(/^apps\[0\]$/));
    assert.equal((await rig.plan([app("web", { dockerImage: "a" }), group("pos", ["web"])])).entities?.length, 2);
  });

  it("a plan of 20,000 devices reads them in pages, lets other work have its turn, and counts all", async function () {
    this.timeout(60_000);
    await using rig = await start();
    await rig.createApp("web", { dockerImage: "shop:1", envVars: { ID: "${NEBULA_DEVICE_ID}" } });
    await rig.createGroup("pos", ["web"]);
    const { cluster } = rig.store;
    const { reportStore } = rig.deps;
    const presence = {
      listPresence: reportStore.listPresence.bind(reportStore),
      presenceOf: reportStore.presenceOf.bind(reportStore),
      statuses: reportStore.statuses.bind(reportStore),
    };
    let pages = 0;
    const listDevices: typeof rig.deps.reportStore.listDevices = async (_filter, { after = "0", limit }) => {
      pages++;
      const from = Number(after);
      const items = Array.from({ length: limit }, (_, index) => {
        const deviceId = `d${from + index}`;
        const report = sampleReport({ deviceId, deviceGroup: "pos", cluster, host: { cpuCores: 4 }, apps: [running(1n)] });
        return create(DeviceSchema, { deviceId, deviceGroup: "pos", report });
      });
      return { items, next: from + limit >= 20_000 ? undefined : String(from + limit) };
    };
    const service = createPlanServiceHandlers({ ...rig.deps, reportStore: { ...presence, listDevices } });
    let isDone = false;
    let turns = 0;
    const others = (async () => {
      while (!isDone) {
        turns++;
        await turn();
      }
    })();
    const plan = await service.plan(create(PlanRequestSchema, { changes: [app("web", { dockerImage: "shop:2" })] }), admin);
    isDone = true;
    await others;
    assert.deepEqual(stepsOf(plan)[0], [DeviceStepKind.RECREATE, 1, "", 20_000]);
    assert.equal(plan.devices?.length, 20);
    assert.ok(pages >= 100 && turns >= pages, `${pages} pages, ${turns} turns`);
  });
});

import { strict as assert } from "node:assert";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports, storedReport } from "../../common/testing/save-reports.ts";
import { type AppSchema, AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { ConnectionState, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { ExplainService, type Explanation, StuckAt } from "../../gen/nebula/v1/explain_pb.ts";
import { type ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { ADMIN, startManagerRig } from "../testing/manager-rig.ts";
import { putTestDevice, putTestUser } from "../testing/test-access.ts";

const asAdmin = { headers: ADMIN };
/** When pos-1 connected, milliseconds since 1970. */
const CONNECTED_AT = Date.now() - 60_000;
const KEEPER = "token-of-a-shopkeeper";

type AppInit = Exclude<MessageInitShape<typeof AppSchema>, { $typeName: string }>;
type ReportInit = Exclude<MessageInitShape<typeof ReportSchema>, { $typeName: string }>;

/** A manager with the group `pos` of the apps web and api and the cron_job web, and a user who reads the group and web alone. */
async function start() {
  await using stack = new AsyncDisposableStack();
  const rig = stack.use(await startManagerRig());
  const channel = rig.channel();
  const { accessStore, reportStore } = rig.drivers;
  await putTestUser(accessStore, "keeper", { token: KEEPER, apps: { web: "ro" }, deviceGroups: { pos: "ro" } });
  await putTestUser(accessStore, "stranger", { token: "token-of-a-stranger", apps: { "*": "rw" } });
  for (const name of ["web", "api", "other"]) await channel.unary(AppService.method.createApp, { app: { name, dockerImage: "shop:1.4" } }, asAdmin);
  await channel.unary(CronJobService.method.createCronJob, { cronJob: { name: "api", dockerImage: "shop:1", schedule: "@daily" } }, asAdmin);
  await channel.unary(
    DeviceGroupService.method.createDeviceGroup,
    { deviceGroup: { name: "pos", apps: ["web", "api"], cronJobs: ["api"] } },
    asAdmin,
  );
  await reportStore.markShard({ boot: "boot of m-2", name: "m-2", address: "m-2:1", seenMs: Date.now() + 60_000 });
  const presence = (deviceId: string, ended: boolean) =>
    reportStore.savePresence([{ deviceGroup: "pos", deviceId, shardBoot: "boot of m-2", stream: 1, ended, atMs: CONNECTED_AT }]);
  await presence("pos-1", false);
  const opened = stack.move();
  let seq = 0n;
  return {
    rig,
    channel,
    presence,
    async explain(
      name = "",
      { kind = TargetKind.UNSPECIFIED, deviceId = "pos-1", token = "" }: { kind?: TargetKind; deviceId?: string; token?: string } = {},
    ): Promise<Explanation> {
      const headers = token === "" ? ADMIN : { authorization: `Bearer ${token}` };
      const { explanation } = await channel.unary(ExplainService.method.explain, { deviceId, kind, name }, { headers });
      return explanation ?? assert.fail("no explanation");
    },
    update: (app: AppInit, updateFields: string[]) => channel.unary(AppService.method.updateApp, { app, updateFields }, asAdmin),
    async etag() {
      return (await channel.unary(ConfigService.method.getConfig, { deviceGroup: "pos" }, asAdmin)).etag;
    },
    /** A report of pos-1, received now. */
    async report(fields: ReportInit = {}) {
      const report = sampleReport({ deviceId: "pos-1", deviceGroup: "pos", receivedMs: Date.now(), seq: ++seq, apps: [], ...fields });
      await saveReports(reportStore, { reports: [storedReport(report)] });
      return timestampMs(report.receivedAt ?? assert.fail());
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const applied = (name: string, revision = 1n) => ({ name, revision, appliedRevision: revision, state: TargetState.APPLIED });
const refusedWith = (kind: Parameters<typeof isNebulaError>[1], text: RegExp) => (error: unknown) =>
  isNebulaError(error, kind) && text.test(error.message);

describe("ExplainService", () => {
  it("a device is explained from the revision, its author and its changes to what the device reported, with the etag alone of its config", async () => {
    await using rig = await start();
    await rig.report({ etag: "of before", apps: [applied("web"), applied("api")] });
    await rig.update({ name: "web", dockerImage: "shop:1.5", secretEnvVars: { KEY: "hunter2" } }, ["docker_image", "secret_env_vars"]);
    const before = await rig.explain("web");
    assert.deepEqual([before.stuckAt, before.delivered, before.newestEtag], [StuckAt.DELIVERY, false, await rig.etag()]);
    assert.deepEqual([before.connection?.state, before.connection?.shard], [ConnectionState.ONLINE, "m-2"]);
    const [web] = before.targets;
    assert.deepEqual([web?.desired?.revision, web?.desired?.fromRevision, web?.desired?.lastChange?.by], [2n, 1n, "admin"]);
    assert.deepEqual(
      web?.desired?.changes.map(({ field }) => field),
      ["docker_image", "secret_env_vars"],
    );
    assert.deepEqual(web?.desired?.changes[0]?.lines, ["shop:1.4 -> shop:1.5"]);
    assert.match(web?.desired?.changes[1]?.lines[0] ?? "", /^\+ KEY=secret:[0-9a-f]{8}$/);
    assert.ok(!JSON.stringify(before, (_, value) => (typeof value === "bigint" ? String(value) : value)).includes("hunter2"));
    const receivedAt = await rig.report({ etag: await rig.etag(), apps: [applied("web", 2n), applied("api")] });
    await rig.report({ etag: await rig.etag(), apps: [applied("web", 2n), applied("api")] });
    const after = await rig.explain("web");
    assert.deepEqual([after.stuckAt, after.targets[0]?.stuckAt, after.delivered], [StuckAt.NOWHERE, StuckAt.NOWHERE, true]);
    assert.equal(after.deliveredAt && timestampMs(after.deliveredAt), receivedAt, "the first report that has it, not the newest");
    assert.equal(after.group?.revision, 1n);
  });

  it("all apps and cron_jobs of a device are explained, those that are being removed too, and those that the caller may not read are counted", async () => {
    await using rig = await start();
    await rig.report({ etag: await rig.etag(), apps: [applied("web"), applied("api"), { ...applied("gone"), state: TargetState.WORKING }] });
    const { targets } = await rig.explain();
    assert.deepEqual(
      targets.map(({ kind, name, stuckAt, inGroup }) => [kind, name, stuckAt, inGroup]),
      [
        [TargetKind.CRON_JOB, "api", StuckAt.WORKING, true],
        [TargetKind.APP, "gone", StuckAt.WORKING, false],
        [TargetKind.APP, "web", StuckAt.NOWHERE, true],
        [TargetKind.APP, "api", StuckAt.NOWHERE, true],
      ],
    );
    const seen = await rig.explain("", { token: KEEPER });
    assert.deepEqual([seen.targets.map(({ name }) => name), seen.hiddenTargets], [["web"], 3]);
  });

  it("a device in a group that the caller may not read is as unknown as one that does not exist", async () => {
    await using rig = await start();
    await rig.report();
    for (const name of ["", "web", "nope"]) {
      const unknown = refusedWith("not_found", /^there is no device "pos-1"/);
      await assert.rejects(rig.explain(name, { token: "token-of-a-stranger" }), unknown);
    }
    await assert.rejects(rig.explain("", { deviceId: "pos-2" }), refusedWith("not_found", /^there is no device "pos-2"/));
  });

  it("an app that the caller may not read is refused by name, whether it exists or not", async () => {
    await using rig = await start();
    await rig.report();
    for (const name of ["api", "nope"]) {
      await assert.rejects(rig.explain(name, { token: KEEPER }), refusedWith("permission_denied", new RegExp(`ro on the app ${name}`)));
    }
    assert.equal((await rig.explain("web", { token: KEEPER })).targets.length, 1);
  });

  it("a name that two kinds share needs its kind, one that nothing has is not found, and one of another group is explained as such", async () => {
    await using rig = await start();
    await rig.report({ etag: await rig.etag(), apps: [applied("web"), applied("api")] });
    await assert.rejects(rig.explain("api"), refusedWith("invalid_argument", /use app\/api or cron_job\/api$/));
    assert.equal((await rig.explain("api", { kind: TargetKind.CRON_JOB })).targets[0]?.kind, TargetKind.CRON_JOB);
    await assert.rejects(rig.explain("nope"), refusedWith("not_found", /no app or cron_job "nope"/));
    const { targets } = await rig.explain("other");
    assert.deepEqual(
      [targets[0]?.stuckAt, targets[0]?.advice[0]?.command],
      [StuckAt.NOT_IN_GROUP, "nebulactl device-groups update pos --apps=web,api,other"],
    );
    for (const request of [{ deviceId: "a/b" }, { kind: TargetKind.APP }, { kind: TargetKind.DEVICE_GROUP }]) {
      await assert.rejects(rig.explain("", request), refusedWith("invalid_argument", /device_id|name|kind/));
    }
  });

  it("a device that has a token and never reported, a deleted app, and a deleted group are explained", async () => {
    await using rig = await start();
    await putTestDevice(rig.rig.drivers.accessStore, "pos-2", "pos");
    const never = await rig.explain("web", { deviceId: "pos-2" });
    assert.deepEqual([never.stuckAt, never.targets[0]?.stuckAt], [StuckAt.NEVER_CONNECTED, StuckAt.NEVER_CONNECTED]);
    await rig.channel.unary(AppService.method.deleteApp, { name: "web" }, asAdmin);
    await rig.report({ etag: await rig.etag(), apps: [applied("web", 2n), applied("api")] });
    const gone = await rig.explain("web");
    assert.deepEqual([gone.targets[0]?.stuckAt, gone.targets[0]?.desired?.deleted], [StuckAt.NO_TARGET, true]);
    await rig.channel.unary(DeviceGroupService.method.deleteDeviceGroup, { name: "pos" }, asAdmin);
    const orphan = await rig.explain();
    assert.deepEqual([orphan.stuckAt, orphan.group?.deleted, orphan.newestEtag], [StuckAt.NO_GROUP, true, ""]);
  });

  it("a device is explained as connected, offline, or connected without a report, also one that has no token", async () => {
    await using rig = await start();
    const silent = await rig.explain("web");
    assert.deepEqual([silent.stuckAt, silent.connection?.state, silent.lastReportAt], [StuckAt.NEVER_REPORTED, ConnectionState.ONLINE, undefined]);
    assert.deepEqual([silent.connection?.shard, silent.connection?.since && timestampMs(silent.connection.since)], ["m-2", CONNECTED_AT]);
    assert.ok((silent.stuckForMs ?? 0n) >= 60_000n);
    await rig.report({ etag: "of before", apps: [applied("web", 0n)] });
    await rig.presence("pos-1", true);
    const offline = await rig.explain("web");
    assert.deepEqual(
      [offline.stuckAt, offline.targets[0]?.stuckAt, offline.connection?.state],
      [StuckAt.OFFLINE, StuckAt.OFFLINE, ConnectionState.OFFLINE],
    );
    await assert.rejects(rig.explain("web", { token: "token-of-a-stranger" }), refusedWith("not_found", /^there is no device "pos-1"/));
  });

  it("a config whose secret value cannot be opened is explained, and its words are shown to those who may read the app", async () => {
    await using rig = await start();
    await rig.report({ etag: "of before" });
    await rig.update({ name: "api", secretEnvVars: { KEY: "hunter2" } }, ["secret_env_vars"]);
    const { configStore } = rig.rig.drivers;
    const stored = (await configStore.get({ kind: "app", name: "api" })) ?? assert.fail();
    await configStore.write({ ...stored, body: damagedSecret(stored.body), expected: stored.revision, revision: stored.revision + 1n });
    const admins = await rig.explain("api", { kind: TargetKind.APP });
    assert.equal(admins.stuckAt, StuckAt.CONFIG);
    assert.match(admins.configFault, /secret_env_vars\.KEY of app api can't be opened/);
    assert.match((await rig.explain("", { token: KEEPER })).configFault, /^a secret value of a member that you may not read/);
  });
});

/** The body with another fingerprint in its sealed value: no key opens it. */
function damagedSecret(body: Uint8Array): Uint8Array {
  const bytes = Buffer.from(body);
  const at = bytes.indexOf("nebula-sealed:1:") + "nebula-sealed:1:".length;
  for (let index = at; index < at + 8; index++) bytes[index] = bytes[index] === 0x30 ? 0x31 : 0x30;
  return bytes;
}

import { strict as assert } from "node:assert";
import { type DescMessage, type DescMethodUnary, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { FORWARDED_FOR_HEADER, FORWARDER_TOKEN_HEADER, forwarderToken, PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { AuditFilter } from "../../common/storage/access-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { type AuditEntry, AuditEntrySchema, AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { keepAudit } from "../testing/kept-audit.ts";
import { ADMIN, type ManagerRig, startManagerRig, TEST_SECRETS } from "../testing/manager-rig.ts";

const { createApp, updateApp, deleteApp, stopApp, getApp } = AppService.method;
const WRONG = { authorization: "Bearer not-the-token" };

/** The entries of the log, newest first. */
async function entriesOf(rig: ManagerRig, filter: AuditFilter = {}): Promise<readonly AuditEntry[]> {
  return (await rig.drivers.accessStore.listAudit(filter, { limit: 1000 })).items;
}

function short({ who, method, kind, name, revisionBefore, revisionAfter, outcome, detail }: AuditEntry): string {
  return `${who} ${method.split("/").at(-1)} ${kind}:${name} ${revisionBefore}->${revisionAfter} ${outcome} ${detail}`.trim();
}

describe("the audit log", () => {
  const rigs = new AsyncDisposableStack();
  after(() => rigs.disposeAsync());
  async function start(options: Parameters<typeof startManagerRig>[0] = {}) {
    const rig = rigs.use(await startManagerRig(options));
    const channel = rig.channel();
    const call = <I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      request: MessageInitShape<I>,
      headers: Record<string, string> = ADMIN,
    ) => channel.unary(method, request, { headers });
    const refused = <I extends DescMessage>(method: DescMethodUnary<I>, request: MessageInitShape<I>, headers: Record<string, string> = ADMIN) =>
      assert.rejects(call(method, request, headers), (error) => isNebulaError(error));
    return { rig, call, refused, lines: async (filter?: AuditFilter) => (await entriesOf(rig, filter)).map(short) };
  }

  it("the audit log has an entry of every change when its answer is sent, with caller, address and both revisions", async () => {
    const { rig, call, lines } = await start();
    await call(createApp, { app: { name: "web", dockerImage: "nginx:1", envVars: { PASSWORD: "hunter2" } } });
    assert.deepEqual(await lines(), ["admin CreateApp app:web 0->1 OK create"]);
    await call(updateApp, { app: { name: "web", dockerImage: "nginx:2" }, updateFields: ["docker_image"] }, { ...ADMIN, "x-request-id": "mine" });
    await call(updateApp, { app: { name: "web", dockerImage: "nginx:2" }, updateFields: ["docker_image"] });
    await call(stopApp, { name: "web" });
    await call(deleteApp, { name: "web" });
    assert.deepEqual((await lines()).toReversed(), [
      "admin CreateApp app:web 0->1 OK create",
      "admin UpdateApp app:web 1->2 OK update",
      "admin UpdateApp app:web 2->2 OK nothing differs",
      "admin StopApp app:web 2->3 OK stop",
      "admin DeleteApp app:web 3->4 OK delete",
    ]);
    const [, , , updated] = await entriesOf(rig);
    assert.deepEqual([updated?.from, updated?.requestId, updated?.repeats], ["127.0.0.1", "mine", 0]);
  });

  it("the audit log has the entry before the caller has the answer, of a refusal too", async () => {
    const storing = { wait: Promise.resolve(), begun: 0 };
    const { call, refused } = await start({
      wrapDrivers: (drivers) => ({
        ...drivers,
        accessStore: Object.assign(Object.create(drivers.accessStore), {
          async appendAudit(entries: readonly AuditEntry[]) {
            storing.begun++;
            await storing.wait;
            return drivers.accessStore.appendAudit(entries);
          },
        }),
      }),
    });
    for (const make of [() => call(createApp, { app: { name: "web", dockerImage: "nginx:1" } }), () => refused(stopApp, { name: "nope" })]) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const before = storing.begun;
      storing.wait = promise;
      let answered = false;
      const calling = make().then(() => {
        answered = true;
      });
      await eventually(() => storing.begun > before);
      await call(getApp, { name: "web" }); // a call that was made later is answered meanwhile
      assert.equal(answered, false);
      resolve();
      await calling;
    }
  });

  it("the audit log has an entry of every change that was refused, without the values that it held", async () => {
    const { rig, refused, lines } = await start();
    await refused(stopApp, { name: "web" });
    await refused(createApp, { app: { name: "web", dockerImage: "nginx:1", envVars: { "BAD=KEY": "hunter2" }, cpus: -1 } });
    await refused(createApp, { app: { name: "web", dockerImage: "nginx:1" } }, { [PART_TOKEN_HEADER]: partToken(TEST_SECRETS.clusterKey) });
    const [part, invalid, missing] = await lines();
    assert.match(missing ?? "", /^admin StopApp app:web 0->0 NOT_FOUND there is no app "web"/);
    assert.match(invalid ?? "", /^admin CreateApp app:web 0->0 INVALID_ARGUMENT not valid: \S+/);
    assert.match(part ?? "", /^nebula CreateApp app:web 0->0 PERMISSION_DENIED the part token alone/);
    assert.doesNotMatch(JSON.stringify((await entriesOf(rig)).map(short)), /hunter2/);
  });

  it("the audit log holds no value that was written behind a variable's name, and no enrolment token in place of its id", async () => {
    const { rig, refused, lines } = await start();
    const app = { name: "web", dockerImage: "x:1", secretEnvVars: { "TOKEN=hunter2": "" } };
    await refused(AppService.method.createApp, { app });
    await refused(AccessService.method.revokeEnrolmentToken, { id: "hunter2-hunter2-hunter2-hunter2-hunter2-hunt" });
    await eventually(async () => (await lines()).length === 2);
    assert.match((await lines()).join(), /not valid: secret_env_vars\.TOKEN/);
    assert.doesNotMatch(JSON.stringify(await lines()), /hunter2/);
    assert.equal((await entriesOf(rig)).length, 2);
  });

  it("the audit log has no entry of reads, of devices' reports, and of reads that were refused", async () => {
    const { call, refused, lines } = await start();
    await call(StatusService.method.getStatus, {});
    await refused(getApp, { name: "nope" });
    await refused(ReportService.method.submitReports, { reports: [] });
    await Promise.allSettled([call(ReportService.method.submitReports, { reports: [sampleReport({ deviceId: "d1" })] })]);
    assert.deepEqual(await lines(), []);
  });

  it("the audit log has an entry of logins that were refused, of reads and watches too", async () => {
    const { rig, refused, lines } = await start();
    await refused(getApp, { name: "web" }, WRONG);
    const watch = rig.channel().serverStream(ConfigService.method.watchConfig, { deviceGroup: "g", deviceId: "d" }, { headers: WRONG });
    await assert.rejects(async () => {
      for await (const _ of watch) break;
    });
    await eventually(async () => (await lines()).length === 2);
    const entries = await entriesOf(rig);
    assert.deepEqual(
      entries.map(({ who, outcome, from }) => [who, outcome, from]),
      Array(2).fill(["nobody", "UNAUTHENTICATED", "127.0.0.1"]),
    );
    assert.deepEqual(entries.map(({ method }) => method.split("/").at(-1)).sort(), ["GetApp", "WatchConfig"]);
    assert.doesNotMatch(JSON.stringify(entries.map(({ detail }) => detail)), /not-the-token/);
  });

  it("the audit log names the gateway's caller where a gateway made the call, and believes no other caller", async () => {
    const { rig, call, refused } = await start();
    const forwarded = { [FORWARDED_FOR_HEADER]: "192.0.2.9", [PART_TOKEN_HEADER]: partToken(TEST_SECRETS.clusterKey) };
    await call(createApp, { app: { name: "web", dockerImage: "nginx:1" } }, { ...ADMIN, ...forwarded });
    await refused(stopApp, { name: "web" }, { ...WRONG, ...forwarded });
    await call(stopApp, { name: "web" }, { ...ADMIN, [FORWARDED_FOR_HEADER]: "192.0.2.66" });
    const forwarder = { [FORWARDED_FOR_HEADER]: "2001:db8::9", [FORWARDER_TOKEN_HEADER]: forwarderToken(partToken(TEST_SECRETS.clusterKey)) };
    await refused(createApp, {}, forwarder);
    await eventually(async () => (await entriesOf(rig)).length === 4);
    const from = new Map((await entriesOf(rig)).map((entry) => [`${entry.method.split("/").at(-1)} ${entry.outcome}`, entry.from]));
    assert.deepEqual(Object.fromEntries(from), {
      "CreateApp OK": "192.0.2.9",
      "CreateApp UNAUTHENTICATED": "2001:db8::9",
      "StopApp UNAUTHENTICATED": "192.0.2.9",
      "StopApp OK": "127.0.0.1",
    });
  });

  it("the audit log has one entry for each device_group that a PruneAll pruned", async () => {
    const { rig, call, lines } = await start();
    for (const name of ["a", "b"]) await call(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name } });
    await call(DeviceGroupService.method.pruneAll, {});
    assert.deepEqual((await lines()).filter((line) => line.includes("Prune")).sort(), [
      "admin PruneAll device_group:a 1->2 OK prune",
      "admin PruneAll device_group:b 1->2 OK prune",
    ]);
    await rig.manager.stop();
    const { call: callEmpty, lines: linesOfEmpty } = await start();
    await callEmpty(DeviceGroupService.method.pruneAll, {});
    assert.deepEqual(await linesOfEmpty(), ["admin PruneAll device_group: 0->0 OK"]);
  });

  it("the audit log counts a flood of refused logins together", async () => {
    const { rig, refused, call } = await start();
    await Promise.all(Array.from({ length: 12 }, (_, i) => refused(getApp, { name: "web" }, { authorization: `Bearer wrong-${i}` })));
    await call(createApp, { app: { name: "web", dockerImage: "nginx:1" } });
    await rig.manager.stop(); // which ends the minute
    const refusals = (await entriesOf(rig)).filter(({ outcome }) => outcome !== "OK");
    assert.ok(refusals.length <= 4, `${refusals.length} entries`); // two outcomes, each its first and the rest
    assert.equal(
      refusals.reduce((sum, { repeats }) => sum + Math.max(1, repeats), 0),
      12,
    );
  });

  it("a change succeeds when its audit entry cannot be written: the entry is in the manager's log", async () => {
    const { rig, call, refused } = await start({
      wrapDrivers: (drivers) => ({
        ...drivers,
        accessStore: Object.assign(Object.create(drivers.accessStore), {
          appendAudit: () => Promise.reject(new NebulaError("unavailable", "the disk is full")),
        }),
      }),
    });
    await call(createApp, { app: { name: "web", dockerImage: "nginx:1" } });
    await refused(stopApp, { name: "nope" });
    const lost = rig.logged.map((line) => JSON.parse(line)).filter(({ audit }) => audit !== undefined);
    assert.deepEqual(
      lost.map(({ audit, reason }) => [audit.who, audit.name, audit.outcome, audit.revisionAfter, reason]),
      [
        ["admin", "web", "OK", "1", "the disk is full"],
        ["admin", "nope", "NOT_FOUND", undefined, "the disk is full"],
      ],
    );
    assert.match(await rig.registry.metrics(), /nebula_audit_entries_total\{result="lost"\} 2/);
  });

  it("the audit log counts equal refusals per minute; a stop stores the counts", async () => {
    const clock = new ManualClock();
    const { audit, entries } = keepAudit({ clock });
    const refuse = () => audit.begin(getApp, { peer: "192.0.2.1:5", requestId: "r" }).ended(new NebulaError("unauthenticated", "no"));
    for (let i = 0; i < 5; i++) await refuse();
    await clock.advance(59_000);
    assert.deepEqual(
      entries.map(({ repeats }) => repeats),
      [0],
    );
    await clock.advance(1000);
    assert.deepEqual(
      entries.map(({ repeats }) => repeats),
      [0, 4],
    );
    for (let i = 0; i < 3; i++) await refuse();
    await audit[Symbol.asyncDispose]();
    assert.deepEqual(
      entries.map(({ repeats }) => repeats),
      [0, 4, 0, 2],
    );
    assert.equal(clock.sleeping, 0);
  });

  it("the audit log names an address without its port, for each family and source", async () => {
    const { audit, entries } = keepAudit();
    const unauthenticated = new NebulaError("unauthenticated", "no");
    for (const peer of ["192.0.2.1:5", "::ffff:192.0.2.2:5", "2001:db8::1:4444"]) {
      await audit.begin(getApp, { peer, requestId: "r" }).ended(unauthenticated);
    }
    const forwarded = audit.begin(getApp, { peer: "192.0.2.3:5", requestId: "r" });
    forwarded.seen({ peer: "2001:db8::2:4444", viaPart: true });
    await forwarded.ended(unauthenticated);
    await audit[Symbol.asyncDispose]();
    assert.deepEqual(
      entries.map(({ from }) => from),
      ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2:4444"],
    );
  });

  it("a flood without a login hides no refusal of a known caller", async () => {
    const { audit, entries } = keepAudit({ clock: new ManualClock() });
    for (let i = 0; i < 5000; i++)
      void audit.begin(getApp, { peer: `198.51.${i >> 8}.${i & 255}:1`, requestId: "r" }).ended(new NebulaError("unauthenticated", "no"));
    const record = audit.begin(deleteApp, { peer: "192.0.2.1:5", requestId: "mine" });
    record.seen({ peer: "192.0.2.1:5", viaPart: false, principal: { kind: "device", deviceId: "d1", deviceGroup: "g", tokenHash: "" } });
    await record.ended(new NebulaError("permission_denied", "not a device's to do"));
    assert.equal(entries.find(({ requestId }) => requestId === "mine")?.who, "device/d1");
    await audit[Symbol.asyncDispose]();
    assert.ok(entries.length < 600, `${entries.length} entries`);
    assert.equal(
      entries.reduce((sum, { repeats }) => sum + Math.max(1, repeats), 0),
      5001,
    );
  });

  it("the audit log is read by admins, with filters and pages", async () => {
    const { rig, call, refused } = await start();
    const { listAuditEntries } = AuditService.method;
    for (const name of ["a", "b", "c"]) await call(createApp, { app: { name, dockerImage: "nginx:1" } });
    const first = await call(listAuditEntries, { pageSize: 2, kind: "app" });
    const second = await call(listAuditEntries, { pageSize: 2, kind: "app", pageToken: first.nextPageToken });
    assert.deepEqual(
      [...first.auditEntries, ...second.auditEntries].map(({ name }) => name),
      ["c", "b", "a"],
    );
    assert.equal(second.nextPageToken, "");
    const [stored] = await entriesOf(rig, { name: "c" });
    assert.ok(first.auditEntries[0] !== undefined && stored !== undefined && equals(AuditEntrySchema, first.auditEntries[0], stored));
    assert.equal((await call(listAuditEntries, { who: "admin", name: "b", outcome: "OK" })).auditEntries.length, 1);
    assert.equal((await call(listAuditEntries, { untilTime: { seconds: 1n } })).auditEntries.length, 0);
    assert.equal((await call(listAuditEntries, { fromTime: { seconds: 1n } })).auditEntries.length, 3);
    for (const wrong of [
      { kind: "house" },
      { outcome: "ok" },
      { pageSize: 1001 },
      { pageToken: "x" },
      { who: "x".repeat(300) },
      { fromTime: { seconds: 1n << 62n } },
    ])
      await assert.rejects(call(listAuditEntries, wrong), (error) => isNebulaError(error, "invalid_argument"), JSON.stringify(Object.keys(wrong)));
    await refused(listAuditEntries, {}, WRONG);
    await refused(listAuditEntries, {}, { [PART_TOKEN_HEADER]: partToken(TEST_SECRETS.clusterKey) });
  });
});

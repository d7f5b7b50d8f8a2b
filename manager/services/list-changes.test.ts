import { strict as assert } from "node:assert";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { type EntityChange, HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { ADMIN, startManagerRig } from "../testing/manager-rig.ts";
import { putTestUser } from "../testing/test-access.ts";

const TOKEN = "token-of-a-shopkeeper";
const asUser = { headers: { authorization: `Bearer ${TOKEN}` } };
const asAdmin = { headers: ADMIN };

/** A manager in which two apps and a group changed, and a user who may change one app and read the group. */
async function start() {
  await using stack = new AsyncDisposableStack();
  const rig = stack.use(await startManagerRig());
  const channel = rig.channel();
  await putTestUser(rig.drivers.accessStore, "keeper", { token: TOKEN, apps: { web: "rw" }, deviceGroups: { pos: "ro" } });
  const apps = AppService.method;
  for (const name of ["web", "hidden"]) await channel.unary(apps.createApp, { app: { name, dockerImage: "shop:1" } }, asAdmin);
  await channel.unary(apps.updateApp, { app: { name: "web", dockerImage: "shop:2" }, updateFields: ["docker_image"] }, asUser);
  await channel.unary(apps.updateApp, { app: { name: "web", dockerImage: "shop:2" }, updateFields: ["docker_image"] }, asUser); // changes nothing
  await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: "pos", apps: ["web"] } }, asAdmin);
  const rollback = { kind: TargetKind.APP, name: "web" };
  await channel.unary(HistoryService.method.rollback, { ...rollback, dryRun: true }, asUser);
  await channel.unary(HistoryService.method.rollback, rollback, asUser);
  await channel.unary(apps.deleteApp, { name: "web" }, asUser);
  const opened = stack.move();
  return { channel, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const line = ({ kind, name, change, revisionBefore, revisionAfter, detail }: EntityChange) =>
  `${TargetKind.APP === kind ? "app" : "device_group"} ${name} ${revisionBefore}->${revisionAfter} ${detail} by ${change?.by}`;

const OF_WEB = [
  "app web 3->4 delete by keeper",
  "app web 2->3 rollback to revision 1 by keeper",
  "app web 1->2 update by keeper",
  "app web 0->1 create by admin",
];

describe("the list of changes", () => {
  it("the list of changes shows what changed of entities that the caller may read, newest first, page by page", async () => {
    await using rig = await start();
    const { listChanges } = HistoryService.method;
    const pages: string[][] = [];
    for (let pageToken = ""; ; ) {
      const page = await rig.channel.unary(listChanges, { pageSize: 2, pageToken }, asUser);
      pages.push(page.changes.map(line));
      assert.ok(!page.nextPageToken.includes("hidden"));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    const seen = [...OF_WEB.slice(0, 2), "device_group pos 0->1 create by admin", ...OF_WEB.slice(2)];
    assert.deepEqual(pages.flat(), seen);
    assert.ok(pages.length >= 3);
    const { changes } = await rig.channel.unary(listChanges, {}, asAdmin);
    assert.deepEqual(changes.map(line), [...seen.slice(0, 4), "app hidden 0->1 create by admin", ...seen.slice(4)]);
  });

  it("the list of changes has filters for kind, name and time, and refuses what the caller may not read", async () => {
    await using rig = await start();
    const { listChanges } = HistoryService.method;
    const { changes } = await rig.channel.unary(listChanges, { kind: TargetKind.APP, name: "web" }, asUser);
    assert.deepEqual(changes.map(line), OF_WEB);
    const at = changes[1]?.change?.at ?? assert.fail("a change has a time");
    const later = await rig.channel.unary(listChanges, { fromTime: at }, asUser);
    assert.ok(
      later.changes.map(line).includes(OF_WEB[1] ?? "") && later.changes.every(({ change }) => timestampDate(change?.at ?? at) >= timestampDate(at)),
    );
    const before = await rig.channel.unary(listChanges, { untilTime: timestampFromDate(new Date(0)) }, asUser);
    assert.deepEqual(before.changes, []);
    const hidden = rig.channel.unary(listChanges, { kind: TargetKind.APP, name: "hidden" }, asUser);
    await assert.rejects(hidden, (error) => isNebulaError(error, "permission_denied"));
  });

  it("a rollback that is refused is in the audit log with its subject, and a dry run is not", async () => {
    await using rig = await start();
    const { rollback } = HistoryService.method;
    await assert.rejects(rig.channel.unary(rollback, { kind: TargetKind.APP, name: "hidden" }, asUser), (error) =>
      isNebulaError(error, "permission_denied"),
    );
    await rig.channel.unary(rollback, { kind: TargetKind.APP, name: "web", dryRun: true }, asUser);
    const { auditEntries } = await rig.channel.unary(AuditService.method.listAuditEntries, {}, asAdmin);
    assert.deepEqual(
      auditEntries.flatMap(({ method, kind, name, outcome }) => (method.endsWith("/Rollback") ? [[kind, name, outcome]] : [])),
      [
        ["app", "hidden", "PERMISSION_DENIED"],
        ["app", "web", "OK"],
      ],
    );
  });
});

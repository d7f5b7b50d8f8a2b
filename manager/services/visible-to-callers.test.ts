import { strict as assert } from "node:assert";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import type { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports, storedReport } from "../../common/testing/save-reports.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { ADMIN, startManagerRig } from "../testing/manager-rig.ts";
import { putTestUser } from "../testing/test-access.ts";

const GROUPS = ["offices", "shop-1", "shop-2", "shop-3"];
const TOKEN = "token-of-a-shopkeeper";
const asUser = { headers: { authorization: `Bearer ${TOKEN}` } };
const asAdmin = { headers: ADMIN };

/** A manager with four groups, a device and a report in each, and a user who reads the shops, and may change and prune some. */
async function start() {
  await using stack = new AsyncDisposableStack();
  const rig = stack.use(await startManagerRig());
  const channel = rig.channel();
  const { accessStore, reportStore } = rig.drivers;
  await putTestUser(accessStore, "keeper", {
    token: TOKEN,
    apps: { web: "ro" },
    deviceGroups: { "shop-*": "ro", "shop-2": "rw" },
    pruningAllowed: false,
  });
  await putTestUser(accessStore, "developer", { token: "token-of-a-developer", apps: { web: "rw" }, deviceGroups: { "shop-1": "ro" } });
  const pruningAllowed = true;
  await putTestUser(accessStore, "pruner", { token: "token-of-a-pruner", deviceGroups: { "shop-2": "ro", "shop-3": "rw" }, pruningAllowed });
  await putTestUser(accessStore, "idle", { token: "token-of-one-without-groups", pruningAllowed });
  for (const name of ["web", "secret-app"]) {
    await channel.unary(AppService.method.createApp, { app: { name, dockerImage: "nginx:1" } }, asAdmin);
  }
  for (const name of GROUPS) await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name } }, asAdmin);
  const devices = GROUPS.map((deviceGroup) => ({ deviceId: `device-of-${deviceGroup}`, deviceGroup }));
  await saveReports(reportStore, { reports: devices.map((device) => storedReport(sampleReport(device))) });
  const opened = stack.move();
  return { channel, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const denied = (error: unknown) => isNebulaError(error, "permission_denied");
const unknown = (error: unknown) => isNebulaError(error, "not_found");

async function groupsListed(channel: GrpcChannel): Promise<string[]> {
  const names: string[] = [];
  for (let pageToken = ""; ; ) {
    const page = await channel.unary(DeviceGroupService.method.listDeviceGroups, { pageSize: 2, pageToken }, asUser);
    names.push(...page.deviceGroups.map(({ name }) => name));
    if (page.nextPageToken === "") return names;
    assert.equal(page.deviceGroups.length, 2, "a page that is not the last is full");
    pageToken = page.nextPageToken;
  }
}

describe("what a user is shown", () => {
  it("a user is shown the entities, devices and reports that it may read, and no others", async () => {
    await using rig = await start();
    const { apps } = await rig.channel.unary(AppService.method.listApps, {}, asUser);
    assert.deepEqual(
      apps.map(({ name }) => name),
      ["web"],
    );
    assert.deepEqual(await groupsListed(rig.channel), ["shop-1", "shop-2", "shop-3"]);
    const { devices } = await rig.channel.unary(DeviceService.method.listDevices, {}, asUser);
    assert.deepEqual(
      devices.map(({ deviceGroup }) => deviceGroup),
      ["shop-1", "shop-2", "shop-3"],
    );
    const { reports } = await rig.channel.unary(ReportService.method.listReports, {}, asUser);
    assert.deepEqual(reports.map(({ report }) => report?.deviceGroup).sort(), ["shop-1", "shop-2", "shop-3"]);
    assert.equal((await rig.channel.unary(ReportService.method.listReports, {}, asAdmin)).reports.length, 4);
  });

  it("a user gets the same refusal for a group that it may not read, for a device of one, and for a group that does not exist", async () => {
    await using rig = await start();
    await assert.rejects(rig.channel.unary(ReportService.method.listReports, { deviceGroup: "offices" }, asUser), denied);
    await assert.rejects(rig.channel.unary(DeviceService.method.listDevices, { deviceGroup: "offices" }, asUser), denied);
    assert.equal((await rig.channel.unary(DeviceService.method.getDevice, { deviceId: "device-of-shop-1" }, asUser)).device?.deviceGroup, "shop-1");
    for (const deviceId of ["device-of-offices", "device-of-nobody"]) {
      await assert.rejects(rig.channel.unary(DeviceService.method.getDevice, { deviceId }, asUser), unknown);
      await assert.rejects(rig.channel.unary(DeviceService.method.deleteDevice, { deviceId }, asUser), unknown);
    }
  });

  it("a user is warned of the groups that it may read, and of the others only how many", async () => {
    await using rig = await start();
    for (const name of ["offices", "shop-1"]) {
      await rig.channel.unary(DeviceGroupService.method.updateDeviceGroup, { deviceGroup: { name, apps: ["web"] }, updateFields: ["apps"] }, asAdmin);
    }
    const { warnings } = await rig.channel.unary(
      AppService.method.deleteApp,
      { name: "web" },
      { headers: { authorization: "Bearer token-of-a-developer" } },
    );
    assert.deepEqual(warnings, [
      "app web is still named by 2 device_groups: shop-1 and 1 that you may not read; their devices remove the containers of web",
    ]);
  });

  it("a user may forget and prune where it may change the device_group", async () => {
    await using rig = await start();
    await assert.rejects(rig.channel.unary(DeviceService.method.deleteDevice, { deviceId: "device-of-shop-1" }, asUser), denied);
    await rig.channel.unary(DeviceService.method.deleteDevice, { deviceId: "device-of-shop-2" }, asUser);
    await rig.channel.unary(DeviceGroupService.method.prune, { name: "shop-2" }, asUser);
    await assert.rejects(rig.channel.unary(DeviceGroupService.method.prune, { name: "shop-1" }, asUser), denied);
    await assert.rejects(rig.channel.unary(DeviceGroupService.method.pruneAll, {}, asUser), denied);
    const asPruner = { headers: { authorization: "Bearer token-of-a-pruner" } };
    const { pruneIds } = await rig.channel.unary(DeviceGroupService.method.pruneAll, {}, asPruner);
    assert.deepEqual(pruneIds, { "shop-2": 3n, "shop-3": 2n });
    const asIdle = { headers: { authorization: "Bearer token-of-one-without-groups" } };
    assert.deepEqual((await rig.channel.unary(DeviceGroupService.method.pruneAll, {}, asIdle)).pruneIds, {});
  });
});

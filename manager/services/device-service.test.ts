import { strict as assert } from "node:assert";
import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import type { Announcement } from "../../common/feed/change-feed.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { PresenceRow } from "../../common/storage/presence-store.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports } from "../../common/testing/save-reports.ts";
import {
  ConnectionState,
  DeleteDeviceRequestSchema,
  DeviceConnectionSchema,
  DeviceSchema,
  GetDeviceRequestSchema,
  ListDevicesRequestSchema,
} from "../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS } from "../access/rights/rights.ts";
import { DeviceConnections } from "../insight/presence/device-connections.ts";
import { createGroupViews } from "../insight/views/group-views.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { groupUser } from "../testing/devices-rig.ts";
import { createDeviceServiceHandlers } from "./device-service.ts";
import { createFleetHandlers } from "./devices/fleet-handlers.ts";

const context: CallContext = {
  principal: { kind: "user", name: "admin", rights: ADMIN_RIGHTS },
  signal: new AbortController().signal,
  peer: "127.0.0.1",
  requestId: "test",
  changed() {},
};

/** The service over a real store with 120 devices in two groups, every third one failed. */
async function start() {
  const stack = new AsyncDisposableStack();
  const reportStore = stack.use(await openSqliteReportStore({ path: ":memory:" }));
  const configStore = stack.use(await openSqliteConfigStore({ path: ":memory:" }));
  const accessStore = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const devices = Array.from({ length: 120 }, (_, index) => {
    const deviceId = `device-${String(index).padStart(3, "0")}`;
    const deviceGroup = index % 2 === 0 ? "offices" : "shops";
    const state = index % 3 === 0 ? TargetState.FAILED : TargetState.APPLIED;
    return create(DeviceSchema, { deviceId, deviceGroup, report: sampleReport({ deviceId, deviceGroup, state }) });
  });
  await saveReports(reportStore, { statuses: devices.map((device) => ({ device, writtenAt: 1n })) });
  const announced: Announcement[] = [];
  const clock = new ManualClock(SAMPLE_TIME_MS + 60_000);
  const deviceConnections = new DeviceConnections({ store: reportStore, ownBoot: "own", clock });
  const presentGroups = { forget() {} };
  const changeFeed = stack.use(createMemoryFeed({ log: silentLog }));
  const groupViews = stack.use(createGroupViews({ store: reportStore, feed: changeFeed, clock, log: silentLog, ownBoot: "own" }));
  const parts = { groupViews, configStore, accessStore, reportStore, presentGroups, changeFeed, clock, log: silentLog };
  const service = createDeviceServiceHandlers({
    presentGroups,
    changeFeed: { publish: (event) => void announced.push(event) },
    listDevices: createFleetHandlers(parts).listDevices,
    reportStore,
    deviceConnections,
    log: silentLog,
  });
  return {
    devices,
    announced,
    clock,
    /** A watch of a device opens or ends. */
    async connect(deviceId: string, given: Partial<PresenceRow> = {}) {
      const row = { deviceGroup: "shops", deviceId, shardBoot: "own", stream: 1, ended: false, atMs: clock.now(), ...given };
      await reportStore.savePresence([row]);
    },
    mark: (boot: string, name = boot) => reportStore.markShard({ boot, name, address: `${name}:1`, seenMs: clock.now() }),
    get: (deviceId: string, principal = context.principal) =>
      service.getDevice(create(GetDeviceRequestSchema, { deviceId }), { ...context, principal }),
    list: (request: MessageInitShape<typeof ListDevicesRequestSchema> = {}) =>
      service.listDevices(create(ListDevicesRequestSchema, request), context),
    forget: (deviceId: string) => service.deleteDevice(create(DeleteDeviceRequestSchema, { deviceId }), context),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function seen(connection: MessageInitShape<typeof DeviceConnectionSchema> | undefined) {
  const { state, since, shard } = create(DeviceConnectionSchema, connection);
  return [state, since && timestampMs(since), shard] as const;
}

function refuses(field: string) {
  return (error: unknown) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === field;
}

describe("DeviceService", () => {
  it("a device is read", async () => {
    await using service = await start();
    const { device } = await service.get("device-007");
    const { connection, ...stored } = device ?? assert.fail();
    assert.ok(equals(DeviceSchema, create(DeviceSchema, stored), service.devices[7] ?? assert.fail()));
    assert.deepEqual(seen(connection), [ConnectionState.OFFLINE, SAMPLE_TIME_MS, ""]);
  });

  it("a device is answered with whether the caller may forget it", async () => {
    await using service = await start();
    const mayForget = async (principal?: Principal) => (await service.get("device-007", principal)).mayForget;
    const level = (shops: "ro" | "rw") => groupUser({ shops, offices: "rw" });
    assert.deepEqual([await mayForget(), await mayForget(level("rw")), await mayForget(level("ro"))], [true, true, false]);
  });

  it("a device is answered with its connection, alone and in the list", async () => {
    await using service = await start();
    await service.mark("own", "m-1");
    await service.mark("other", "m-2");
    const since = service.clock.now();
    await service.connect("device-001");
    await service.connect("device-003", { shardBoot: "other", ended: true });
    await service.connect("device-005", { shardBoot: "other" });
    const states = async () => {
      const { devices = [] } = await service.list({ deviceGroup: "shops", pageSize: 1000 });
      const listed = devices.slice(0, 3).map(({ connection }) => seen(create(DeviceConnectionSchema, connection)));
      for (const [index, deviceId] of ["device-001", "device-003", "device-005"].entries()) {
        const { connection } = (await service.get(deviceId)).device ?? assert.fail();
        assert.deepEqual(seen(connection), listed[index], deviceId);
      }
      return listed;
    };
    const [own, left] = [
      [ConnectionState.ONLINE, since, "m-1"],
      [ConnectionState.OFFLINE, since, "m-2"],
    ];
    assert.deepEqual(await states(), [own, left, [ConnectionState.ONLINE, since, "m-2"]]);
    await service.clock.advance(60_000); // the other shard was killed
    assert.deepEqual(await states(), [own, left, [ConnectionState.OFFLINE, since, "m-2"]]);
  });

  it("a device is online on a shard that has just started", async () => {
    await using service = await start();
    await service.mark("own", "m-1");
    await service.get("device-001");
    await service.clock.advance(1000);
    await service.mark("young", "m-9");
    await service.connect("device-001", { shardBoot: "young" });
    assert.deepEqual(seen((await service.get("device-001")).device?.connection)[2], "m-9");
  });

  it("devices that connected and never reported are in the list of their device_group, each once, in pages of any size", async () => {
    await using service = await start();
    await service.mark("own", "m-1");
    const silent = ["a-1", "device-050x", "device-119x", "z-1", "z-2"];
    for (const deviceId of silent) await service.connect(deviceId);
    await service.connect("z-1", { shardBoot: "dead", ended: true, atMs: 5 });
    await service.connect("device-002"); // it reported from another group
    await service.connect("elsewhere", { deviceGroup: "offices" });
    const reported = service.devices.filter((device) => device.deviceGroup === "shops").map(({ deviceId }) => deviceId);
    for (const pageSize of [1, 2, 7, 60, 64, 65, 1000]) {
      const ids: string[] = [];
      for (let pageToken = ""; ; ) {
        const { devices = [], nextPageToken = "" } = await service.list({ deviceGroup: "shops", pageSize, pageToken });
        assert.ok(devices.length <= pageSize);
        ids.push(...devices.map(({ deviceId = "" }) => deviceId));
        if (nextPageToken === "") break;
        pageToken = nextPageToken;
      }
      assert.deepEqual(ids, [...reported, ...silent].sort(), `pages of ${pageSize}`);
    }
    assert.equal((await service.list({ deviceGroup: "shops", state: TargetState.FAILED, pageSize: 1000 })).devices?.length, 20);
  });

  it("a device that connected and never reported is found with its device_group, and is forgotten when it is gone", async () => {
    await using service = await start();
    await service.mark("own", "m-1");
    await service.connect("new-1", { deviceGroup: "offices" });
    const { device } = await service.get("new-1");
    assert.deepEqual([device?.deviceGroup, device?.report, seen(device?.connection)[0]], ["offices", undefined, ConnectionState.ONLINE]);
    await assert.rejects(service.forget("new-1"), (error) => isNebulaError(error, "failed_precondition") && /is connected/.test(error.message));
    await service.connect("new-1", { deviceGroup: "offices", ended: true });
    await service.forget("new-1");
    await assert.rejects(service.get("new-1"), (error) => isNebulaError(error, "not_found"));
    await assert.rejects(service.forget("new-1"), (error) => isNebulaError(error, "not_found"));
  });

  it("a device that never connected is not found, and an invalid id is refused with the valid ones", async () => {
    await using service = await start();
    await assert.rejects(service.get("device-999"), (error) => isNebulaError(error, "not_found") && error.message.includes("device-999"));
    await assert.rejects(service.get(""), refuses("device_id"));
    await assert.rejects(service.forget("a/b"), refuses("device_id"));
  });

  it("devices are listed by group and id, 100 a page by default", async () => {
    await using service = await start();
    const first = await service.list();
    const second = await service.list({ pageToken: first.nextPageToken ?? "" });
    const ids = [...(first.devices ?? []), ...(second.devices ?? [])].map((device) => device.deviceId);
    assert.equal(first.devices?.length, 100);
    assert.equal(second.nextPageToken, "");
    const half = (group: string) => service.devices.filter((device) => device.deviceGroup === group).map((device) => device.deviceId);
    assert.deepEqual(ids, [...half("offices"), ...half("shops")]);
  });

  it("devices that connected and never reported are in the list of all devices, too, and a device that moves is listed once", async () => {
    await using service = await start();
    await service.mark("own", "m-1");
    await service.connect("silent-1");
    await service.connect("device-002"); // of offices, now in shops
    for (const summariesOnly of [false, true]) {
      const { devices = [] } = await service.list({ pageSize: 1000, summariesOnly });
      assert.equal(devices.length, 121);
      assert.equal(devices.find(({ deviceId }) => deviceId === "silent-1")?.deviceGroup, "shops");
      assert.equal(devices.filter(({ deviceId }) => deviceId === "device-002").length, 1);
      assert.equal(devices.find(({ deviceId }) => deviceId === "device-002")?.deviceGroup, "offices");
    }
  });

  it("a device_group that does not exist and has no devices is not found", async () => {
    await using service = await start();
    for (const state of [TargetState.UNSPECIFIED, TargetState.FAILED]) {
      await assert.rejects(service.list({ deviceGroup: "nowhere", state }), (error) => isNebulaError(error, "not_found"));
    }
  });

  it("devices are listed by each filter", async () => {
    await using service = await start();
    const count = async (request: MessageInitShape<typeof ListDevicesRequestSchema>) =>
      (await service.list({ ...request, pageSize: 1000 })).devices?.length;
    assert.equal(await count({ deviceGroup: "shops" }), 60);
    assert.equal(await count({ state: TargetState.FAILED }), 40);
    assert.equal(await count({ deviceGroup: "shops", state: TargetState.FAILED }), 20);
  });

  it("pages that are too large, and tokens that were never given, are refused", async () => {
    await using service = await start();
    await assert.rejects(service.list({ pageSize: 1001 }), refuses("page_size"));
    await assert.rejects(service.list({ pageToken: "nonsense" }), refuses("page_token"));
  });

  it("filters that no device can match are refused", async () => {
    await using service = await start();
    await assert.rejects(service.list({ deviceGroup: "a/b" }), refuses("device_group"));
  });

  it("a device is forgotten once", async () => {
    await using service = await start();
    await service.forget("device-007");
    await assert.rejects(service.get("device-007"), (error) => isNebulaError(error, "not_found"));
    await assert.rejects(service.forget("device-007"), (error) => isNebulaError(error, "not_found"));
  });

  it("a device that is forgotten is announced to its group, with a version above its row's and without a summary", async () => {
    await using service = await start();
    await service.forget("device-007");
    const [event] = service.announced;
    assert.ok(event?.kind === "status" && event.deviceGroup === "shops" && service.announced.length === 1);
    const changes = event.news?.changes ?? assert.fail();
    assert.deepEqual(
      changes.map(({ deviceId, writtenAt, summary }) => [deviceId, writtenAt, summary]),
      [["device-007", 2n, undefined]],
    );
  });
});

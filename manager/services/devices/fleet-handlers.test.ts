import { strict as assert } from "node:assert";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../../common/feed/memory-feed.ts";
import { statusAnnouncements } from "../../../common/insight/status-announcements.ts";
import { silentLog } from "../../../common/log/log.ts";
import type { ConfigStore } from "../../../common/storage/config-store.ts";
import { encodeDevicePosition } from "../../../common/storage/page.ts";
import { openSqliteAccessStore } from "../../../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../../../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../../../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../../common/testing/sample-report.ts";
import { statusRow } from "../../../common/testing/save-reports.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import {
  ConnectionState,
  CountDevicesRequestSchema,
  DeleteDevicesRequestSchema,
  DeviceCountsSchema,
  DeviceFilterSchema,
  WatchDevicesRequestSchema,
} from "../../../gen/nebula/v1/device_pb.ts";
import { ContainerState, FailureCode, type ReportSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { UserGroupSchema } from "../../../gen/nebula/v1/user_group_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { ADMIN_RIGHTS, type Rights, rightsOf } from "../../access/rights/rights.ts";
import type { Changed } from "../../audit/call-record.ts";
import { createGroupViews } from "../../insight/views/group-views.ts";
import { plainStore } from "../../testing/plain-store.ts";
import { putTestDevices } from "../../testing/test-access.ts";
import { createFleetHandlers } from "./fleet-handlers.ts";

type Fields = Exclude<MessageInitShape<typeof ReportSchema>, { $typeName: string }>;

const admin: Principal = { kind: "user", name: "admin", rights: ADMIN_RIGHTS };
const DAY_MS = 86_400_000;
const NOW_MS = SAMPLE_TIME_MS + 100 * DAY_MS;
const IMAGE = `sha256:${"0123456789abcdef".repeat(4)}`;
const never = new AbortController().signal;

/** A user who may do this on groups, and nothing else. */
function user(levels: Readonly<Record<string, "ro" | "rw">>): Principal {
  const rights: Rights = rightsOf([create(UserGroupSchema, { name: "team", deviceGroups: levels })]);
  return { kind: "user", name: "ann", rights };
}

/** The handlers over real stores: a group `shops` with one app at revision 3, and devices that are put. */
async function start({ mostBytes }: { mostBytes?: number } = {}) {
  const stack = new AsyncDisposableStack();
  const reportStore = stack.use(await openSqliteReportStore({ path: ":memory:" }));
  const stored = stack.use(await openSqliteConfigStore({ path: ":memory:" }));
  /** The device_groups of which a body was read. */
  const bodiesRead = new Set<string>();
  const noted = <T extends { kind: string; name: string }>(entities: readonly T[]) => {
    for (const { kind, name } of entities) if (kind === "device_group") bodiesRead.add(name);
  };
  const configStore: ConfigStore = {
    ...plainStore(stored),
    async get(key, options) {
      const entity = await stored.get(key, options);
      if (entity !== undefined) noted([entity]);
      return entity;
    },
    async getMany(kind, names, options) {
      const entities = await stored.getMany(kind, names, options);
      noted([...entities.values()]);
      return entities;
    },
    async list(kind, page, signal) {
      const entities = await stored.list(kind, page, signal);
      noted(entities.items);
      return entities;
    },
  };
  const accessStore = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const clock = new ManualClock(NOW_MS);
  const feed = stack.use(createMemoryFeed({ log: silentLog }));
  const room = mostBytes === undefined ? {} : { mostBytes };
  const groupViews = stack.use(createGroupViews({ store: reportStore, feed, clock, log: silentLog, ownBoot: "boot-a", ...room }));
  const changes: Changed[] = [];
  const fleet = createFleetHandlers({
    groupViews,
    configStore,
    accessStore,
    reportStore,
    presentGroups: { forget() {} },
    changeFeed: feed,
    clock,
    log: silentLog,
  });
  let version = 0n;
  await reportStore.markShard({ boot: "boot-a", name: "m-1", address: "m-1:50051", seenMs: NOW_MS });
  const entity = { deleted: false, action: "create", changedAt: NOW_MS, changedBy: "ann" } as const;
  await configStore.write({
    ...entity,
    kind: "app",
    name: "web",
    expected: 0n,
    revision: 3n,
    body: toBinary(AppSchema, create(AppSchema, { name: "web" })),
  });
  async function createGroup(name: string, apps: string[] = []): Promise<void> {
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name, apps }));
    await configStore.write({ ...entity, kind: "device_group", name, expected: 0n, revision: 1n, body, members: { apps, cronJobs: [] } });
  }
  await createGroup("shops", ["web"]);

  async function put(deviceId: string, fields: Fields = {}, receivedMs = NOW_MS): Promise<void> {
    const before = (await reportStore.statuses([deviceId])).get(deviceId);
    const row = statusRow(sampleReport({ deviceId, seq: ++version, receivedMs, ...fields }), version);
    await reportStore.save([{ before, row, reports: [] }]);
    for (const event of statusAnnouncements([{ before, row }])) feed.publish(event);
  }

  /** Notes that a watch opened, or ended at a time. */
  async function presence(deviceId: string, endedMs?: number, deviceGroup = "shops"): Promise<void> {
    const end = endedMs === undefined ? { ended: false, atMs: NOW_MS - 60_000 } : { ended: true, atMs: endedMs };
    await reportStore.savePresence([{ deviceGroup, deviceId, shardBoot: "boot-a", stream: Number(++version), ...end }]);
  }

  const context = (principal: Principal, signal = never) => ({
    principal,
    signal,
    peer: "127.0.0.1",
    requestId: "test",
    changed: (change: Changed) => void changes.push(change),
    keepAllowed() {},
  });
  return {
    groupViews,
    reportStore,
    configStore,
    bodiesRead,
    accessStore,
    clock,
    changes,
    createGroup,
    put,
    presence,
    count: async (init: MessageInitShape<typeof CountDevicesRequestSchema> = {}, by = admin) =>
      (await fleet.unary.countDevices(create(CountDevicesRequestSchema, init), context(by))).deviceGroups?.map((counts) =>
        create(DeviceCountsSchema, counts),
      ) ?? [],
    countPage: (init: MessageInitShape<typeof CountDevicesRequestSchema>) =>
      fleet.unary.countDevices(create(CountDevicesRequestSchema, init), context(admin)),
    delete: (init: MessageInitShape<typeof DeleteDevicesRequestSchema>, by = admin) =>
      fleet.unary.deleteDevices(create(DeleteDevicesRequestSchema, init), context(by)),
    watch: (init: MessageInitShape<typeof WatchDevicesRequestSchema>, { by = admin, signal = never } = {}) =>
      fleet.streams.watchDevices(create(WatchDevicesRequestSchema, init), context(by, signal))[Symbol.asyncIterator](),
    async list(
      filter: MessageInitShape<typeof DeviceFilterSchema>,
      { deviceGroup = "shops", summariesOnly = true, limit = 100, after = "", by = admin } = {},
    ) {
      const page = { limit, ...(after === "" ? {} : { after }) };
      const { devices, nextPageToken } = await fleet.listDevices(
        { deviceGroup, filter: create(DeviceFilterSchema, filter), summariesOnly, page },
        by,
        never,
      );
      return { ids: devices.map(({ deviceId }) => deviceId), devices, next: nextPageToken };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Four devices: one that is fine, one that failed, one that is offline, and one of another version that runs an old revision. */
async function startFleet() {
  const rig = await start();
  const app = (fields: object = {}) => ({ name: "web", revision: 3n, appliedRevision: 3n, state: TargetState.APPLIED, ...fields });
  await rig.put("fine", { apps: [app({ containers: [{ name: "web-1", imageId: IMAGE, revision: 3n, state: ContainerState.RUNNING }] })] });
  await rig.put("broken", {
    state: TargetState.FAILED,
    apps: [app({ state: TargetState.FAILED, failureCode: FailureCode.NO_SPACE, appliedRevision: 2n })],
  });
  await rig.put("gone", {}, NOW_MS - 40 * DAY_MS);
  await rig.put("old", {
    workerVersion: "0.0.9",
    problems: [{ code: "engine_unreachable", message: "" }],
    apps: [app({ revision: 2n, appliedRevision: 2n })],
  });
  for (const deviceId of ["fine", "broken", "old", "new"]) await rig.presence(deviceId);
  await rig.presence("gone", NOW_MS - 30 * DAY_MS);
  return rig;
}

describe("calls about many devices", () => {
  it("devices are listed by each filter, those that never reported included", async () => {
    await using rig = await startFleet();
    const ids = async (filter: MessageInitShape<typeof DeviceFilterSchema>) => (await rig.list(filter)).ids;
    assert.deepEqual(await ids({}), ["broken", "fine", "gone", "new", "old"]);
    assert.deepEqual(await ids({ state: TargetState.FAILED }), ["broken"]);
    assert.deepEqual(await ids({ connection: ConnectionState.OFFLINE }), ["gone"]);
    assert.deepEqual(await ids({ connection: ConnectionState.ONLINE }), ["broken", "fine", "new", "old"]);
    assert.deepEqual(await ids({ offlineLongerMs: BigInt(29 * DAY_MS) }), ["gone"]);
    assert.deepEqual(await ids({ offlineLongerMs: BigInt(31 * DAY_MS) }), []);
    assert.deepEqual(await ids({ failing: true }), ["broken", "old"]);
    assert.deepEqual(await ids({ failureCode: FailureCode.NO_SPACE }), ["broken"]);
    assert.deepEqual(await ids({ failureCode: FailureCode.EXITS }), []);
    assert.deepEqual(await ids({ notNewest: true }), ["broken", "new", "old"]);
    assert.deepEqual(await ids({ workerVersion: "0.0.9" }), ["old"]);
    assert.deepEqual(await ids({ imageId: "sha256:0123" }), ["fine"]);
    assert.deepEqual(await ids({ imageId: IMAGE }), ["fine"]);
    assert.deepEqual(await ids({ imageId: "0124" }), []);
    assert.deepEqual(await ids({ failing: true, workerVersion: "0.1.0" }), ["broken"]);
  });

  it("a filtered list has pages, by group and id, of the groups that the caller may read", async () => {
    await using rig = await start();
    for (const number of [1, 2, 3])
      for (const deviceGroup of ["offices", "shops", "tills"]) await rig.put(`${deviceGroup}-${number}`, { deviceGroup });
    for (const limit of [1, 2, 3, 4, 100]) {
      const all: string[] = [];
      let after = "";
      do {
        const page = await rig.list({ workerVersion: "0.1.0" }, { deviceGroup: "", limit, after, by: user({ offices: "ro", tills: "rw" }) });
        assert.ok(page.ids.length <= limit);
        all.push(...page.ids);
        after = page.next;
      } while (after !== "");
      assert.deepEqual(all, ["offices-1", "offices-2", "offices-3", "tills-1", "tills-2", "tills-3"]);
    }
    const foreign = encodeDevicePosition({ deviceGroup: "shops", deviceId: "" });
    assert.deepEqual((await rig.list({}, { deviceGroup: "", after: foreign, by: user({ offices: "ro" }) })).ids, []);
  });

  it("calls about all groups read no group that the caller may not read, and lists and deletions read the names alone of those that it may", async () => {
    await using rig = await start();
    const groups = ["offices", "shop", "shop-1", "shop-2", "shop-20", "shop.x", "tills"];
    for (const name of groups) await rig.createGroup(name);
    for (const deviceGroup of [...groups, "shop-3", "unwanted"]) await rig.put(`in-${deviceGroup}`, { deviceGroup });
    const by = user({ "shop-*": "ro", "shop-2*": "rw", tills: "rw", nowhere: "ro" });
    const readable = ["shop-1", "shop-2", "shop-20", "shop-3", "tills"];
    rig.bodiesRead.clear();
    assert.deepEqual(
      (await rig.list({}, { deviceGroup: "", by })).ids,
      readable.map((name) => `in-${name}`),
    );
    assert.equal((await rig.delete({ offlineLongerMs: 1n, dryRun: true }, by)).remaining, 0n);
    assert.deepEqual([...rig.bodiesRead], []);
    assert.deepEqual(
      (await rig.count({}, by)).map(({ deviceGroup }) => deviceGroup),
      readable,
    );
    assert.deepEqual(
      [...rig.bodiesRead],
      readable.filter((name) => name !== "shop-3"),
    );
  });

  it("a list with summaries alone reads no report, and one without has each device's", async () => {
    await using rig = await startFleet();
    const { devices: short } = await rig.list({ failing: true });
    const { devices: long } = await rig.list({ failing: true }, { summariesOnly: false });
    assert.deepEqual(
      short.map(({ report, summary, connection }) => [report, summary?.state, connection?.state, connection?.shard]),
      [
        [undefined, TargetState.FAILED, ConnectionState.ONLINE, "m-1"],
        [undefined, TargetState.APPLIED, ConnectionState.ONLINE, "m-1"],
      ],
    );
    assert.deepEqual(
      long.map(({ report, summary }) => [report?.state, summary?.state]),
      [
        [TargetState.FAILED, TargetState.FAILED],
        [TargetState.APPLIED, TargetState.APPLIED],
      ],
    );
  });

  it("a group that does not exist and has no devices is not found by lists, counts, watches and deletions", async () => {
    await using rig = await start();
    await rig.put("device-1", { deviceGroup: "undefined-group" });
    const missing = (error: unknown) => isNebulaError(error, "not_found") && error.message.includes('"nowhere"');
    await assert.rejects(rig.list({}, { deviceGroup: "nowhere" }), missing);
    await assert.rejects(rig.count({ deviceGroup: "nowhere" }), missing);
    await assert.rejects(rig.watch({ deviceGroups: ["nowhere"] }).next(), missing);
    await assert.rejects(rig.delete({ deviceGroup: "nowhere" }), missing);
    assert.deepEqual((await rig.list({}, { deviceGroup: "shops" })).ids, [], "it exists, and has no devices");
    assert.deepEqual((await rig.list({}, { deviceGroup: "undefined-group" })).ids, ["device-1"], "it has devices");
  });

  it("devices are counted by state, connection, code, problem and version, and those that never came", async () => {
    await using rig = await startFleet();
    await putTestDevices(rig.accessStore, 3, "shops");
    const [counts, ...more] = await rig.count({ deviceGroup: "shops", enrolled: true });
    assert.equal(more.length, 0);
    const { devices, applied, working, failed, unknown, online, offline, notNewest, neverCame } = counts ?? assert.fail();
    assert.deepEqual([devices, applied, working, failed, unknown], [5n, 3n, 0n, 1n, 1n]);
    assert.deepEqual([online, offline, notNewest, neverCame], [4n, 1n, 3n, 3n]);
    assert.deepEqual(
      counts?.failureCodes.map(({ failureCode, devices: of }) => [failureCode, of]),
      [[FailureCode.NO_SPACE, 1n]],
    );
    assert.deepEqual(
      counts?.problems.map(({ code, devices: of }) => [code, of]),
      [["engine_unreachable", 1n]],
    );
    assert.deepEqual(
      counts?.workerVersions.map(({ workerVersion, devices: of }) => [workerVersion, of]),
      [
        ["0.1.0", 3n],
        ["0.0.9", 1n],
      ],
    );
    assert.equal(counts?.newestReceivedAtMs, BigInt(NOW_MS));
    assert.equal((await rig.count({ deviceGroup: "shops" }))[0]?.neverCame, undefined);
    await rig.put("d1");
    await eventually(async () => assert.equal((await rig.count({ deviceGroup: "shops", enrolled: true }))[0]?.neverCame, 2n));
  });

  it("a device that moves is listed and counted once in all groups together: in the one that it reported from last", async () => {
    await using rig = await start();
    await rig.put("mover", { deviceGroup: "offices" });
    await rig.presence("mover", undefined, "shops");
    await rig.presence("new", undefined, "shops");
    const numbers = async () => (await rig.count()).map(({ deviceGroup, devices, unknown }) => `${deviceGroup} ${devices} ${unknown}`);
    assert.deepEqual(await numbers(), ["offices 1 0", "shops 1 1"]);
    assert.deepEqual((await rig.list({}, { deviceGroup: "" })).ids, ["mover", "new"]);
    assert.equal((await rig.count({ deviceGroup: "shops" }))[0]?.devices, 1n, "as it is listed");
    await rig.put("mover");
    await eventually(async () => assert.deepEqual(await numbers(), ["shops 2 1"]));
  });

  it("a device that never reported is listed and counted though its group does not exist and nothing reported from it", async () => {
    await using rig = await start();
    await rig.put("reports");
    await rig.presence("lost", undefined, "undefined-group");
    await rig.presence("left", NOW_MS - DAY_MS, "a-group");
    assert.deepEqual((await rig.list({}, { deviceGroup: "" })).ids, ["left", "reports", "lost"]);
    assert.deepEqual(
      (await rig.list({}, { deviceGroup: "" })).devices.map(({ deviceGroup }) => deviceGroup),
      ["a-group", "shops", "undefined-group"],
    );
    assert.deepEqual((await rig.list({}, { deviceGroup: "", by: user({ "undefined-group": "ro" }) })).ids, ["lost"]);
    assert.deepEqual(
      (await rig.count()).map(({ deviceGroup, devices }) => `${deviceGroup} ${devices}`),
      ["a-group 1", "shops 1", "undefined-group 1"],
    );
  });

  it("counts have a page for each 100 groups, of those that exist or have devices and that the caller may read", async () => {
    await using rig = await start();
    for (const deviceGroup of ["offices", "tills"]) await rig.put(`${deviceGroup}-1`, { deviceGroup });
    const names = async (by: Principal) => (await rig.count({}, by)).map(({ deviceGroup, devices }) => `${deviceGroup} ${devices}`);
    assert.deepEqual(await names(admin), ["offices 1", "shops 0", "tills 1"]);
    assert.deepEqual(await names(user({ tills: "ro" })), ["tills 1"]);
    await assert.rejects(rig.count({ deviceGroup: "shops" }, user({ tills: "ro" })), (error) => isNebulaError(error, "permission_denied"));
    const first = await rig.countPage({ pageSize: 2 });
    const second = await rig.countPage({ pageSize: 2, pageToken: first.nextPageToken ?? "" });
    assert.deepEqual(
      [first, second].map((page) => [page.deviceGroups?.map(({ deviceGroup }) => deviceGroup), page.nextPageToken]),
      [
        [["offices", "shops"], "shops"],
        [["tills"], ""],
      ],
    );
  });

  it("requests that no device can match are refused, each with the field", async () => {
    await using rig = await start();
    const refuses = (field: string) => (error: unknown) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === field;
    await assert.rejects(rig.count({ pageSize: 101 }), refuses("page_size"));
    await assert.rejects(rig.count({ deviceGroup: "a/b" }), refuses("device_group"));
    await assert.rejects(rig.count({ pageToken: "?" }), refuses("page_token"));
    await assert.rejects(rig.delete({}), refuses("offline_longer_ms"));
    await assert.rejects(rig.watch({}).next(), refuses("device_groups"));
    await assert.rejects(rig.watch({ deviceGroups: Array.from({ length: 21 }, (_, index) => `g${index}`) }).next(), refuses("device_groups"));
    for (const [filter, field] of [
      [{ imageId: "xyz" }, "filter.image_id"],
      [{ imageId: "012" }, "filter.image_id"],
      [{ workerVersion: "1".repeat(65) }, "filter.worker_version"],
      [{ offlineLongerMs: 2n ** 63n }, "filter.offline_longer_ms"],
    ] as const) {
      await assert.rejects(rig.watch({ deviceGroups: ["shops"], filter }).next(), refuses(field));
    }
  });

  it("devices that are offline for long are counted, then forgotten, and nothing else", async () => {
    await using rig = await startFleet();
    const request = { offlineLongerMs: BigInt(29 * DAY_MS) };
    const dry = await rig.delete({ ...request, dryRun: true });
    assert.deepEqual(dry, { deleted: 0n, remaining: 1n, deviceGroups: [{ deviceGroup: "shops", devices: 1n }] });
    assert.deepEqual([(await rig.list({})).ids.length, rig.changes.length], [5, 0]);
    assert.deepEqual(await rig.delete(request), { deleted: 1n, remaining: 0n, deviceGroups: [{ deviceGroup: "shops", devices: 1n }] });
    assert.deepEqual(
      rig.changes.map(({ kind, name, detail }) => [kind, name, detail]),
      [["device_group", "shops", "devices forgotten: gone"]],
    );
    assert.equal(await rig.reportStore.getDevice("gone"), undefined);
    await eventually(async () => assert.deepEqual((await rig.list({})).ids, ["broken", "fine", "new", "old"]));
    assert.equal((await rig.delete(request)).deleted, 0n);
  });

  it("a device that came back in the meantime keeps what it reported, and does not count as forgotten", async () => {
    await using rig = await startFleet();
    await rig.put("gone-2", {}, NOW_MS - 50 * DAY_MS);
    using _view = await rig.groupViews.open("shops", never); // its reader keeps the deletion from a read of its own
    await rig.presence("gone"); // no shard announced it yet
    const answer = await rig.delete({ offlineLongerMs: BigInt(29 * DAY_MS) });
    assert.deepEqual([answer.deleted, answer.remaining], [1n, 0n]);
    assert.deepEqual(
      rig.changes.map(({ detail }) => detail),
      ["devices forgotten: gone-2"],
    );
    assert.ok(await rig.reportStore.getDevice("gone"));
  });

  it("a watch whose group grows beyond the room for devices ends with resource_exhausted, and its room is given back", async () => {
    await using rig = await start({ mostBytes: 20_000 });
    await rig.put("shops-1");
    const watch = rig.watch({ deviceGroups: ["shops"] });
    assert.equal((await watch.next()).value?.complete, true);
    const ending = (async () => {
      for (;;) await watch.next();
    })();
    const refused = assert.rejects(ending, (error) => isNebulaError(error, "resource_exhausted") && (error.retryAfterMs ?? 0) > 0);
    for (let index = 2; index < 30; index++) await rig.put(`shops-${index}`);
    await eventually(() => rig.groupViews.mirrors === 0);
    await rig.clock.advance(1000);
    await refused;
    assert.equal(rig.groupViews.bytes, 0);
  });

  it("a deletion of online devices is refused without force, and one without rw on each group, with nothing changed", async () => {
    await using rig = await startFleet();
    await rig.put("office-1", { deviceGroup: "offices" }, NOW_MS - 50 * DAY_MS);
    await assert.rejects(
      rig.delete({ deviceGroup: "shops" }),
      (error) => isNebulaError(error, "failed_precondition") && /^4 of these/.test(error.message),
    );
    const denied = (error: unknown) => isNebulaError(error, "permission_denied");
    await assert.rejects(rig.delete({ deviceGroup: "shops", force: true }, user({ shops: "ro" })), denied);
    await assert.rejects(rig.delete({ offlineLongerMs: BigInt(20 * DAY_MS) }, user({ shops: "rw", offices: "ro" })), denied);
    assert.deepEqual([(await rig.list({})).ids.length, rig.changes.length], [5, 0]);
    assert.equal((await rig.delete({ offlineLongerMs: BigInt(20 * DAY_MS), dryRun: true }, user({ shops: "rw" }))).remaining, 1n);
    assert.equal(
      (await rig.delete({ deviceGroup: "shops", force: true })).deleted,
      4n,
      "one that is connected and never reported has nothing to forget",
    );
    assert.equal(await rig.reportStore.getDevice("fine"), undefined);
  });

  it("a watch sends the devices that are there, at most 100 a message, then their counts, then each that changes", async () => {
    await using rig = await start();
    for (let index = 0; index < 250; index++) await rig.put(`device-${1000 + index}`);
    const stop = new AbortController();
    const stream = rig.watch({ deviceGroups: ["shops"] }, { signal: stop.signal });
    const sizes: number[] = [];
    for (let complete = false; !complete; ) {
      const { value } = await stream.next();
      sizes.push(value?.devices?.length ?? 0);
      complete = value?.complete === true;
      assert.deepEqual(
        value?.counts?.map(({ devices }: { devices?: bigint }) => devices),
        complete ? [250n] : [],
      );
    }
    assert.deepEqual(sizes, [100, 100, 50]);
    const next = stream.next();
    await rig.put("device-1003", { state: TargetState.FAILED });
    await rig.put("device-1004", { deviceGroup: "offices" });
    for (let turn = 0; turn < 4; turn++) await rig.clock.advance(250);
    const { value } = await next;
    assert.deepEqual(
      value?.devices?.map(({ deviceId, summary }: { deviceId?: string; summary?: { state?: number } }) => [deviceId, summary?.state]),
      [["device-1003", TargetState.FAILED]],
    );
    assert.deepEqual(
      value?.left?.map(({ deviceId }: { deviceId?: string }) => deviceId),
      ["device-1004"],
    );
    assert.deepEqual(
      value?.counts?.map(({ devices, failed }: { devices?: bigint; failed?: bigint }) => [devices, failed]),
      [[249n, 1n]],
    );
    stop.abort(new Error("enough"));
    await assert.rejects(stream.next(), /enough/);
  });

  it("a watch with a filter sends a device when it matches, and that it left when it no longer does, also by time alone", async () => {
    await using rig = await startFleet();
    const stop = new AbortController();
    const filter = { offlineLongerMs: BigInt(30 * DAY_MS + 60_000) };
    const stream = rig.watch({ deviceGroups: ["shops"], filter }, { signal: stop.signal });
    const first = await stream.next();
    assert.deepEqual([first.value?.devices, first.value?.complete], [[], true]);
    /** The next message with devices, or with some that left, while time passes. */
    async function following() {
      for (;;) {
        const next = stream.next();
        let seen = false;
        void next.then(() => {
          seen = true;
        });
        await eventually(async () => {
          await rig.clock.advance(5000);
          return seen;
        });
        const { value } = await next;
        const [devices, left] = [value?.devices ?? [], value?.left ?? []].map((list) => list.map(({ deviceId }: { deviceId?: string }) => deviceId));
        if (devices?.length !== 0 || left?.length !== 0) return [devices, left];
      }
    }
    assert.deepEqual(await following(), [["gone"], []]);
    await rig.put("gone", {}, rig.clock.now());
    await rig.presence("gone");
    await rig.reportStore.markShard({ boot: "boot-a", name: "m-1", address: "m-1:50051", seenMs: rig.clock.now() });
    const after = await following();
    // its report may be announced before its watch is read
    assert.deepEqual(after[0]?.length === 0 ? after : await following(), [[], ["gone"]]);
    stop.abort(new Error("enough"));
    await assert.rejects(stream.next(), /enough/);
  });

  it("a watch of counts alone sends no devices", async () => {
    await using rig = await startFleet();
    const { value } = await rig.watch({ deviceGroups: ["shops"], countsOnly: true }).next();
    assert.deepEqual([value?.devices, value?.counts?.length, value?.complete], [[], 1, true]);
  });
});

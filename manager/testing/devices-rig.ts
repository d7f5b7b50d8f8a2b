import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../common/testing/sample-report.ts";
import { saveAndAnnounce, savePresenceAndAnnounce, statusRow } from "../../common/testing/save-reports.ts";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import {
  CountDevicesRequestSchema,
  DeleteDevicesRequestSchema,
  DeviceCountsSchema,
  DeviceFilterSchema,
  DeviceOrder,
  WatchDevicesRequestSchema,
} from "../../gen/nebula/v1/device_pb.ts";
import { ContainerState, FailureCode, type ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS, type Rights, rightsOf } from "../access/rights/rights.ts";
import type { Changed } from "../audit/call-record.ts";
import type { GroupViews } from "../insight/views/group-view.ts";
import { createGroupViews } from "../insight/views/group-views.ts";
import { createFleetHandlers } from "../services/devices/fleet-handlers.ts";
import type { DevicesAsked } from "../services/devices/list-devices.ts";
import { plainStore } from "./plain-store.ts";

type Fields = Exclude<MessageInitShape<typeof ReportSchema>, { $typeName: string }>;

export const admin: Principal = { kind: "user", name: "admin", rights: ADMIN_RIGHTS };
export const DAY_MS = 86_400_000;
export const NOW_MS = SAMPLE_TIME_MS + 100 * DAY_MS;
export const IMAGE = `sha256:${"0123456789abcdef".repeat(4)}`;
const never = new AbortController().signal;

/** A user who may do this on groups, and nothing else. */
export function groupUser(levels: Readonly<Record<string, "ro" | "rw">>): Principal {
  const rights: Rights = rightsOf([create(UserGroupSchema, { name: "team", deviceGroups: levels })]);
  return { kind: "user", name: "ann", rights };
}

export type DevicesRigOptions = Readonly<{
  mostBytes?: number;
  /** Puts something between the handlers and the views of device_groups. */
  wrapViews?: (views: GroupViews) => GroupViews;
}>;

/** The handlers over real stores: a group `shops` with one app at revision 3, and devices that are put. */
export async function startDevicesRig({ mostBytes, wrapViews = (views) => views }: DevicesRigOptions = {}) {
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
    groupViews: wrapViews(groupViews),
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
  const webBody = toBinary(AppSchema, create(AppSchema, { name: "web" }));
  const writeWeb = (expected: bigint, revision: bigint) =>
    configStore.write({ ...entity, kind: "app", name: "web", expected, revision, body: webBody });
  await writeWeb(0n, 3n);
  async function createGroup(name: string, apps: string[] = []): Promise<void> {
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name, apps }));
    await configStore.write({ ...entity, kind: "device_group", name, expected: 0n, revision: 1n, body, members: { apps, cronJobs: [] } });
  }
  await createGroup("shops", ["web"]);

  async function put(deviceId: string, fields: Fields = {}, receivedMs = NOW_MS): Promise<void> {
    await saveAndAnnounce(reportStore, feed, statusRow(sampleReport({ deviceId, seq: ++version, receivedMs, ...fields }), version));
  }

  /** Notes that a watch opened, or ended at a time. */
  async function presence(deviceId: string, endedMs?: number, deviceGroup = "shops"): Promise<void> {
    const end = endedMs === undefined ? { ended: false, atMs: NOW_MS - 60_000 } : { ended: true, atMs: endedMs };
    await reportStore.savePresence([{ deviceGroup, deviceId, shardBoot: "boot-a", stream: Number(++version), ...end }]);
  }

  /** A watch opens, and is announced. */
  function connect(deviceId: string, deviceGroup: string): Promise<void> {
    const row = { deviceGroup, deviceId, shardBoot: "boot-a", stream: Number(++version), ended: false, atMs: clock.now() };
    return savePresenceAndAnnounce(reportStore, feed, row);
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
    /** Makes revision 4 of the app. */
    updateWeb: () => writeWeb(3n, 4n),
    put,
    presence,
    connect,
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
      {
        deviceGroup = "shops",
        summariesOnly = true,
        limit = 100,
        after = "",
        by = admin,
        order = DeviceOrder.UNSPECIFIED,
        descending = false,
      }: Partial<Omit<DevicesAsked, "filter" | "page"> & { limit: number; after: string; by: Principal }> = {},
    ) {
      const page = { limit, ...(after === "" ? {} : { after }) };
      const { devices, nextPageToken } = await fleet.listDevices(
        { deviceGroup, filter: create(DeviceFilterSchema, filter), summariesOnly, page, order, descending },
        by,
        never,
      );
      return { ids: devices.map(({ deviceId }) => deviceId), devices, next: nextPageToken };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Four devices: one that is fine, one that failed, one that is offline, and one of another version that runs an old revision. */
export async function startFleet() {
  const rig = await startDevicesRig();
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

import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { stateOfDevice } from "../../common/insight/device-state.ts";
import { eventually } from "../../common/testing/eventually.ts";
import {
  AppSchema,
  CreateAppRequestSchema,
  DeleteAppRequestSchema,
  StopAppRequestSchema,
  UpdateAppRequestSchema,
} from "../../gen/nebula/v1/app_pb.ts";
import { DeviceStanding } from "../../gen/nebula/v1/apply_pb.ts";
import { CreateDeviceGroupRequestSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import {
  ConnectionState,
  DeviceConnectionSchema,
  DeviceSummarySchema,
  type DeviceSummarySchema as SummarySchema,
  TargetKind,
  TargetSummarySchema,
} from "../../gen/nebula/v1/device_pb.ts";
import { GetDriftRequestSchema, type GroupDrift, GroupDriftSchema, WatchDriftRequestSchema } from "../../gen/nebula/v1/drift_pb.ts";
import { FailureCode, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS, NO_RIGHTS, rightsOf } from "../access/rights/rights.ts";
import { callOf, type EntityRig, startEntityRig } from "../testing/entity-rig.ts";
import { startSmallViews } from "../testing/small-views.ts";
import { TEST_PAGES } from "../testing/test-access.ts";
import { driftOf, type Newest, readNewest } from "./drift.ts";
import type { DeviceChange, DeviceInGroup } from "./views/group-view.ts";
import { createDriftServiceHandlers, type DriftParts, watchDrift } from "./watch-drift.ts";

const ADMIN: Principal = { kind: "user", name: "root", rights: ADMIN_RIGHTS };
const signal = new AbortController().signal;
const { APP } = TargetKind;

const NEWEST: Newest = {
  deviceGroup: "pos",
  groupRevision: 7n,
  targets: [{ kind: APP, verb: "update", name: "web", revision: 42n }],
  images: new Map([[`${APP}/web`, "shop:1.5"]]),
  changedAt: 9000,
};

const OF_GROUP = { kind: TargetKind.DEVICE_GROUP, verb: "update", name: "pos", revision: 7n, added: [], removed: [] } as const;

type Target = MessageInitShape<typeof TargetSummarySchema>;

function device(
  deviceId: string,
  web: Target = {},
  { online = true, sinceMs = 0, ...summary }: MessageInitShape<typeof SummarySchema> & { online?: boolean; sinceMs?: number } = {},
): DeviceInGroup {
  const target = { kind: APP, name: "web", revision: 42n, appliedRevision: 42n, state: TargetState.APPLIED, containers: 1, ...web };
  return {
    deviceId,
    summary: create(DeviceSummarySchema, { deviceId, deviceGroup: "pos", groupRevision: 7n, targets: [target], ...summary }),
    connection: create(DeviceConnectionSchema, {
      state: online ? ConnectionState.ONLINE : ConnectionState.OFFLINE,
      ...(sinceMs === 0 ? {} : { since: timestampFromMs(sinceMs) }),
    }),
  };
}

const drift = (...devices: DeviceInGroup[]): GroupDrift => create(GroupDriftSchema, driftOf(NEWEST, devices));
const drifted = (found: GroupDrift) =>
  found.drifted.map(({ deviceId, standing, failureCode, name, since }) => [
    deviceId,
    nameOf(standing),
    failureCode,
    name,
    since === undefined ? undefined : timestampMs(since),
  ]);
function nameOf(standing: DeviceStanding): string | undefined {
  return Object.entries(DeviceStanding).find(([, number]) => number === standing)?.[0];
}

describe("the drift of a group", () => {
  it("the drift of a group names devices that are not at their newest config, by code and since when, the longest first", () => {
    const found = drift(
      device("a"),
      device("b", { revision: 42n, appliedRevision: 41n, state: TargetState.FAILED, failureCode: FailureCode.NO_SPACE, sinceMs: 5000n }),
      device("c", { revision: 42n, appliedRevision: 41n, state: TargetState.FAILED, failureCode: FailureCode.NO_SPACE, sinceMs: 3000n }),
      device("d", { revision: 41n, appliedRevision: 41n }, { online: false, sinceMs: 4000 }),
      device("e", { revision: 41n, appliedRevision: 41n }),
      device("f", { revision: 42n, appliedRevision: 41n, state: TargetState.WORKING, sinceMs: 9500n }),
      { deviceId: "g", summary: undefined, connection: create(DeviceConnectionSchema, { state: ConnectionState.ONLINE }) },
    );
    assert.deepEqual([found.deviceGroup, found.groupRevision, found.devices, found.newest], ["pos", 7n, 7, 1]);
    assert.deepEqual(drifted(found), [
      ["c", "FAILED", FailureCode.NO_SPACE, "web", 3000],
      ["d", "OFFLINE", 0, "", 4000],
      ["b", "FAILED", FailureCode.NO_SPACE, "web", 5000],
      ["e", "WAITING", 0, "", 9000],
      ["g", "WAITING", 0, "", 9000],
      ["f", "WORKING", 0, "web", 9500],
    ]);
    assert.deepEqual(
      found.counts.map(({ standing, failureCode, devices, since }) => [nameOf(standing), failureCode, devices, since && timestampMs(since)]),
      [
        ["FAILED", FailureCode.NO_SPACE, 2, 3000],
        ["WAITING", 0, 2, 9000],
        ["OFFLINE", 0, 1, 4000],
        ["WORKING", 0, 1, 9500],
      ],
    );
  });

  it("the drift of a group has a device that still runs what its group does not name any more", () => {
    const old = create(TargetSummarySchema, { kind: APP, name: "old", revision: 3n, appliedRevision: 3n, state: TargetState.APPLIED, containers: 1 });
    const found = device("a");
    assert.ok(found.summary !== undefined);
    const left = { ...found, summary: create(DeviceSummarySchema, { ...found.summary, targets: [...found.summary.targets, old] }) };
    assert.equal(drift(left).newest, 0);
    const gone = {
      ...found,
      summary: create(DeviceSummarySchema, {
        ...found.summary,
        targets: [...found.summary.targets, create(TargetSummarySchema, { ...old, containers: 0 })],
      }),
    };
    assert.equal(drift(gone).newest, 1);
  });

  it("the drift of a group names a reference that stands for different images, on devices at the newest revision alone", () => {
    const [one, two] = [new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)];
    assert.deepEqual(drift(device("a", { imageIds: [one] }), device("b", { imageIds: [one] })).images, []);
    assert.deepEqual(drift(device("a", { imageIds: [one] }), device("b", { imageIds: [two], appliedRevision: 41n })).images, []);
    const { images } = drift(device("a", { imageIds: [one] }), device("b", { imageIds: [two] }), device("c", { imageIds: [two, one] }));
    assert.deepEqual(
      images.map(({ image, imageIds }) => [image, imageIds.map(({ imageId, devices }) => `${imageId} ${devices}`)]),
      [["shop:1.5", ["0101010101010101 2", "0202020202020202 2"]]],
    );
  });

  it("the drift of a group sums the repairs of its workers, and names those with the most", () => {
    const { repairs, repaired } = drift(device("a", {}, { repairs: 2n }), device("b"), device("c", {}, { repairs: 5n }));
    assert.deepEqual(
      [repairs, repaired.map(({ deviceId, repairs: of }) => [deviceId, of])],
      [
        7n,
        [
          ["c", 5n],
          ["a", 2n],
        ],
      ],
    );
  });

  it("the drift of a group counts each device once, for any devices, and names a bounded number", () => {
    const devices = fc.array(
      fc.record({
        revision: fc.bigInt({ min: 40n, max: 43n }),
        applied: fc.bigInt({ min: 40n, max: 43n }),
        state: fc.constantFrom(TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED),
        code: fc.constantFrom(FailureCode.UNSPECIFIED, FailureCode.EXITS, FailureCode.NO_SPACE),
        online: fc.boolean(),
        group: fc.constantFrom(6n, 7n, 8n),
        sinceMs: fc.bigInt({ min: 0n, max: 5n }),
        repairs: fc.bigInt({ min: 0n, max: 3n }),
      }),
      { maxLength: 250 },
    );
    fc.assert(
      fc.property(devices, (given) => {
        const all = given.map(({ revision, applied, state, code, online, group, sinceMs, repairs }, at) =>
          device(`d${at}`, { revision, appliedRevision: applied, state, failureCode: code, sinceMs }, { online, groupRevision: group, repairs }),
        );
        const found = drift(...all);
        const newest = all.filter((each) => stateOfDevice(each, [...NEWEST.targets, OF_GROUP]).state === "applied").length;
        assert.deepEqual([found.devices, found.newest], [all.length, newest]);
        assert.equal(
          found.counts.reduce((sum, { devices: of }) => sum + of, 0),
          all.length - newest,
        );
        assert.equal(found.drifted.length, Math.min(100, all.length - newest));
        assert.equal(new Set(found.drifted.map(({ deviceId }) => deviceId)).size, found.drifted.length);
        assert.equal(
          found.repairs,
          given.reduce((sum, { repairs }) => sum + repairs, 0n),
        );
        assert.ok(found.repaired.length <= 20);
      }),
      { numRuns: 100 },
    );
  });
});

/** Groups in a real store, with devices that the test puts into their views. */
async function startWorld() {
  const rig: EntityRig = await startEntityRig();
  const clock = new ManualClock();
  const devices = new Map<string, DeviceInGroup>();
  const listeners = new Set<(changes: readonly DeviceChange[]) => void>();
  const groupViews = {
    open: async (deviceGroup: string) => ({
      deviceGroup,
      devices: new Map([...devices].filter(([, { summary }]) => summary?.deviceGroup === deviceGroup)),
      onChange(listener: (changes: readonly DeviceChange[]) => void) {
        const put = ([change]: readonly DeviceChange[]) => {
          if (change?.after?.summary?.deviceGroup === deviceGroup) this.devices.set(change.after.deviceId, change.after);
          listener(change === undefined ? [] : [change]);
        };
        listeners.add(put);
        return { [Symbol.dispose]: () => void listeners.delete(put) };
      },
      reread: async () => {},
      ended: new AbortController().signal,
      [Symbol.dispose]() {},
    }),
  };
  const parts = { groupViews, configStore: rig.store, changeFeed: rig.deps.changeFeed, visiblePages: TEST_PAGES, clock };
  await rig.apps.createApp(create(CreateAppRequestSchema, { app: create(AppSchema, { name: "web", dockerImage: "shop:1" }) }), callOf("ann"));
  for (const name of ["pos", "till"])
    await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name, apps: ["web"] } }), callOf("ann"));
  return {
    rig,
    clock,
    parts,
    listeners,
    put(after: DeviceInGroup) {
      const before = devices.get(after.deviceId);
      devices.set(after.deviceId, after);
      for (const listener of listeners) listener([{ before, after }]);
    },
  };
}

const at = (deviceId: string, revision: bigint, deviceGroup = "pos") =>
  device(deviceId, { revision, appliedRevision: revision }, { deviceGroup, groupRevision: 1n });

describe("DriftService", () => {
  it("GetDrift compares with what is stored now, of the groups that the caller may read, page by page", async () => {
    const world = await startWorld();
    await using _ = world.rig;
    world.put(at("a", 1n));
    world.put(at("b", 1n, "till"));
    const service = createDriftServiceHandlers(world.parts);
    const read = async (request: { deviceGroup?: string; pageSize?: number; pageToken?: string }, principal = ADMIN) => {
      const answer = await service.getDrift(
        { $typeName: "nebula.v1.GetDriftRequest", deviceGroup: "", pageSize: 0, pageToken: "", ...request },
        { ...callOf("x"), principal },
      );
      return { groups: (answer.groups ?? []).map((group) => create(GroupDriftSchema, group)), nextPageToken: answer.nextPageToken ?? "" };
    };
    const lines = ({ groups }: Awaited<ReturnType<typeof read>>) =>
      groups.map(({ deviceGroup, devices, newest }) => `${deviceGroup} ${newest}/${devices}`);
    assert.deepEqual(lines(await read({})), ["pos 1/1", "till 1/1"]);
    await world.rig.apps.updateApp(
      create(UpdateAppRequestSchema, { app: { name: "web", dockerImage: "shop:2" }, updateFields: ["docker_image"] }),
      callOf("ann"),
    );
    const first = await read({ pageSize: 1 });
    assert.deepEqual(lines(first), ["pos 0/1"]);
    assert.deepEqual(lines(await read({ pageSize: 1, pageToken: first.nextPageToken })), ["till 0/1"]);
    assert.deepEqual(lines(await read({ deviceGroup: "till" })), ["till 0/1"]);
    const stranger: Principal = { kind: "user", name: "eve", rights: NO_RIGHTS };
    assert.deepEqual(lines(await read({}, stranger)), []);
    await assert.rejects(read({ deviceGroup: "pos" }, stranger), (error) => isNebulaError(error, "permission_denied"));
    await assert.rejects(read({ deviceGroup: "nope" }), (error) => isNebulaError(error, "not_found"));
    await assert.rejects(read({ pageSize: 101 }), (error) => isNebulaError(error, "invalid_argument"));
  });

  it("GetDrift of a user reads the groups that it may read alone", async () => {
    const world = await startWorld();
    await using _ = world.rig;
    const read: string[] = [];
    const configStore: DriftParts["configStore"] = {
      get(key, options) {
        read.push(key.name);
        return world.rig.store.get(key, options);
      },
      getMany: (...call) => world.rig.store.getMany(...call),
      names: (...call) => world.rig.store.names(...call),
    };
    const service = createDriftServiceHandlers({ ...world.parts, configStore });
    const principal: Principal = {
      kind: "user",
      name: "ann",
      rights: rightsOf([create(UserGroupSchema, { name: "team", deviceGroups: { "ti*": "ro" } })]),
    };
    const { groups } = await service.getDrift(create(GetDriftRequestSchema), { ...callOf("ann"), principal });
    assert.deepEqual([groups?.map(({ deviceGroup }) => deviceGroup), read], [["till"], ["till"]]);
  });

  it("a stopped app and a deleted one are compared by what is left of them", async () => {
    const world = await startWorld();
    await using _ = world.rig;
    await world.rig.apps.stopApp(create(StopAppRequestSchema, { name: "web" }), callOf("ann"));
    const stopped = await readNewest(world.rig.store, "pos", signal);
    assert.deepEqual([stopped?.targets.map(({ verb }) => verb), stopped?.images.size], [["stop"], 0]);
    await world.rig.apps.deleteApp(create(DeleteAppRequestSchema, { name: "web" }), callOf("ann"));
    const deleted = await readNewest(world.rig.store, "pos", signal);
    assert.deepEqual(
      deleted?.targets.map(({ verb, revision }) => [verb, revision]),
      [["delete", 3n]],
    );
    assert.equal(await readNewest(world.rig.store, "nope", signal), undefined);
  });

  it("WatchDrift tells each group first, then those that changed, at most once a second, and ends with the right", async () => {
    const world = await startWorld();
    await using _ = world.rig;
    world.put(at("a", 1n));
    let check: (principal: Principal) => void = () => {};
    const keepAllowed = (of: typeof check) => {
      check = of;
    };
    const ended = new AbortController();
    const request = create(WatchDriftRequestSchema, { deviceGroups: ["pos", "till"] });
    const context = { principal: ADMIN, signal: ended.signal, keepAllowed };
    const messages = watchDrift(world.parts, request, context);
    const lines = ({ value }: Awaited<ReturnType<typeof messages.next>>) =>
      (value?.groups ?? [])
        .map((group) => create(GroupDriftSchema, group))
        .map(({ deviceGroup, devices, newest }) => `${deviceGroup} ${newest}/${devices}`);
    assert.deepEqual(lines(await messages.next()), ["pos 1/1", "till 0/0"]);

    let told: string[] | undefined;
    const next = messages.next().then((message) => {
      told = lines(message);
    });
    world.put(at("b", 1n));
    world.put(at("c", 1n));
    await world.clock.advance(999);
    assert.equal(told, undefined);
    await world.clock.advance(1);
    await next;
    assert.deepEqual(told, ["pos 3/3"]);

    const changed = messages.next();
    await world.rig.apps.updateApp(
      create(UpdateAppRequestSchema, { app: { name: "web", dockerImage: "shop:2" }, updateFields: ["docker_image"] }),
      callOf("ann"),
    );
    await world.clock.advance(10_000);
    await world.clock.advance(1000);
    assert.deepEqual(lines(await changed), ["pos 0/3"]);

    assert.throws(
      () => check({ kind: "user", name: "eve", rights: NO_RIGHTS }),
      (error) => isNebulaError(error, "permission_denied"),
    );
    const last = messages.next();
    ended.abort(new Error("over"));
    await assert.rejects(last, /over/);
    assert.equal(world.listeners.size, 0, "nothing is held");
    for (const deviceGroups of [[], ["pos", "pos"], ["no name"], Array.from({ length: 101 }, (__, at) => `g${at}`)]) {
      const refused = watchDrift(world.parts, create(WatchDriftRequestSchema, { deviceGroups }), { ...context, signal });
      await assert.rejects(refused.next(), (error) => isNebulaError(error, "invalid_argument"));
    }
  });

  it("WatchDrift ends with resource_exhausted when a device_group grows beyond the room for devices, and gives its room back", async () => {
    const world = await startWorld();
    await using _ = world.rig;
    await using small = await startSmallViews(world.clock);
    await small.report("pos-1", "pos");
    const parts = { ...world.parts, groupViews: small.groupViews };
    const context = { principal: ADMIN, signal, keepAllowed() {} };
    const stream = watchDrift(parts, create(WatchDriftRequestSchema, { deviceGroups: ["pos", "till"] }), context);
    assert.deepEqual(
      (await stream.next()).value?.groups?.map(({ devices }) => devices),
      [1, 0],
    );
    assert.equal(small.groupViews.mirrors, 2);
    const ending = (async () => {
      for await (const { groups } of stream) assert.ok((groups?.length ?? 0) > 0);
    })();
    const ended = assert.rejects(ending, (error) => isNebulaError(error, "resource_exhausted") && (error.retryAfterMs ?? 0) > 0);
    for (let index = 2; index < 30; index++) await small.report(`pos-${index}`, "pos");
    await eventually(async () => {
      await world.clock.advance(1000);
      assert.deepEqual([small.groupViews.mirrors, small.groupViews.bytes], [0, 0]);
    });
    await ended;
  });
});

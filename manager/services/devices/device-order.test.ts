import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { create, type MessageInitShape, type UnknownEnum } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { type Standing, stateOfDevice } from "../../../common/insight/device-state.ts";
import { encodeDevicePosition } from "../../../common/storage/page.ts";
import {
  ConnectionState,
  DeviceConnectionSchema,
  DeviceOrder,
  DeviceSummarySchema,
  ListDevicesRequestSchema,
} from "../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { DeviceInGroup } from "../../insight/views/group-view.ts";
import { DAY_MS, groupUser, NOW_MS, startDevicesRig, startFleet } from "../../testing/devices-rig.ts";
import { comparePlaces, decodePlace, encodePlace, FirstInOrder, placeOf, validateDeviceOrder } from "./device-order.ts";

const never = new AbortController().signal;
const ORDERS = Object.values(DeviceOrder).filter((order) => order !== DeviceOrder.UNSPECIFIED);
const newer = 99 as UnknownEnum; // a brand
const standingOf = (device: Standing) => stateOfDevice(device, []);

const anyDevice = fc.record({
  deviceGroup: fc.constantFrom<string>("shops", "tills"),
  state: fc.constantFrom(TargetState.UNSPECIFIED, TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED),
  connection: fc.constantFrom(ConnectionState.UNSPECIFIED, ConnectionState.ONLINE, ConnectionState.OFFLINE),
  sinceMs: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
  receivedAtMs: fc.bigInt({ min: 0n, max: 3n }),
  workerVersion: fc.constantFrom("", "0.9.0", "0.10.0", "00.9.0", "1.0.0-rc.1", "\ud83d\ude00".repeat(40)),
  hasReported: fc.boolean(),
});
type AnyDevice = typeof anyDevice extends fc.Arbitrary<infer Device> ? Device : never;

function deviceOf(deviceId: string, { deviceGroup, connection, sinceMs, hasReported, ...summary }: AnyDevice): DeviceInGroup {
  return {
    deviceId,
    summary: hasReported ? create(DeviceSummarySchema, { deviceId, deviceGroup, ...summary }) : undefined,
    connection: create(DeviceConnectionSchema, { state: connection, ...(sinceMs === undefined ? {} : { since: timestampFromMs(sinceMs) }) }),
  };
}

type Fleet = Map<string, AnyDevice>;
type Order = Readonly<{ order: DeviceOrder; descending: boolean }>;

/** The ids of a page, and the token of the next one. */
async function pageOf(fleet: Fleet, order: Order, token: string, size: number) {
  const first = new FirstInOrder(order, token === "" ? undefined : decodePlace(order, token), size);
  for (const group of ["shops", "tills"]) {
    const devices = [...fleet].filter(([, { deviceGroup }]) => deviceGroup === group).map(([id, device]) => deviceOf(id, device));
    await first.add(group, devices, standingOf, never);
  }
  const { found, hasMore } = first.take();
  const last = found.at(-1);
  return { ids: found.map(({ device }) => device.deviceId), next: hasMore && last !== undefined ? encodePlace(order, last.place) : "" };
}

const anyOrder = fc.record({ order: fc.constantFrom(...ORDERS), descending: fc.boolean() });

describe("orders of devices", () => {
  it("the pages of any order together are all devices in that order, each once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyDevice, { maxLength: 30 }), anyOrder, fc.integer({ min: 1, max: 8 }), async (devices, order, size) => {
        const fleet: Fleet = new Map(devices.map((device, index) => [`d${index}`, device]));
        const places = [...fleet].map(([id, device]) =>
          placeOf({ deviceGroup: device.deviceGroup, device: deviceOf(id, device) }, order.order, standingOf),
        );
        const expected = places.sort((one, other) => comparePlaces(order, one, other)).map(({ deviceId }) => deviceId);
        const listed: string[] = [];
        for (let token = ""; ; ) {
          const { ids, next } = await pageOf(fleet, order, token, size);
          assert.ok(ids.length <= size);
          listed.push(...ids);
          if (next === "") break;
          token = next;
        }
        assert.deepEqual(listed, expected);
      }),
    );
  });

  it("while devices change, come and go between pages, those that keep their place are listed once", async () => {
    const change = fc.record({ index: fc.nat({ max: 29 }), to: fc.option(anyDevice, { nil: undefined }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyDevice, { minLength: 5, maxLength: 30 }),
        fc.array(change, { maxLength: 10 }),
        anyOrder,
        fc.integer({ min: 1, max: 5 }),
        async (devices, changes, order, size) => {
          const fleet: Fleet = new Map(devices.map((device, index) => [`d${index}`, device]));
          const waiting = [...changes];
          const listed: string[] = [];
          for (let token = ""; ; ) {
            const { ids, next } = await pageOf(fleet, order, token, size);
            listed.push(...ids);
            const { index, to } = waiting.shift() ?? { index: -1, to: undefined };
            if (to !== undefined) fleet.set(`d${index}`, to);
            else fleet.delete(`d${index}`);
            if (next === "") break;
            token = next;
          }
          const changed = new Set(changes.map(({ index }) => `d${index}`));
          const kept = devices.map((_, index) => `d${index}`).filter((id) => !changed.has(id));
          assert.deepEqual(listed.filter((id) => !changed.has(id)).sort(), kept.sort());
        },
      ),
    );
  });

  it("each order has a place of its own, the worst first", () => {
    assert.equal(ORDERS.length, 7);
    assert.deepEqual(
      ORDERS.flatMap((order) => validateDeviceOrder({ order, descending: true })),
      [],
    );
    const sorted = (order: DeviceOrder, devices: readonly Partial<AnyDevice>[]) => {
      const plain = { deviceGroup: "shops", state: TargetState.APPLIED, connection: ConnectionState.ONLINE, sinceMs: 0, receivedAtMs: 1n };
      const places = devices.map((device, index) => {
        const all: AnyDevice = { ...plain, workerVersion: "0.1.0", hasReported: true, ...device };
        return placeOf({ deviceGroup: all.deviceGroup, device: deviceOf(`d${index}`, all) }, order, standingOf);
      });
      return places.sort((one, other) => comparePlaces({ order, descending: false }, one, other)).map(({ deviceId }) => deviceId);
    };
    const { APPLIED, WORKING, FAILED } = TargetState;
    assert.deepEqual(sorted(DeviceOrder.STATE, [{ state: APPLIED }, { state: WORKING }, { hasReported: false }, { state: FAILED }]), [
      ...["d3", "d2", "d1", "d0"],
    ]);
    const { ONLINE, OFFLINE, UNSPECIFIED } = ConnectionState;
    assert.deepEqual(
      sorted(DeviceOrder.CONNECTION, [
        { connection: ONLINE, sinceMs: 1 },
        { connection: UNSPECIFIED },
        { connection: OFFLINE, sinceMs: 9 },
        { connection: OFFLINE, sinceMs: 2 },
      ]),
      ["d3", "d2", "d1", "d0"],
    );
    assert.deepEqual(sorted(DeviceOrder.REPORTED, [{ receivedAtMs: 2n }, { receivedAtMs: 1n }, { hasReported: false }]), ["d2", "d1", "d0"]);
    const versions = [{ workerVersion: "0.10.0" }, { workerVersion: "0.9.0" }, { workerVersion: "" }];
    assert.deepEqual(sorted(DeviceOrder.WORKER_VERSION, versions), ["d2", "d1", "d0"]);
    assert.deepEqual(sorted(DeviceOrder.DEVICE_GROUP, [{ deviceGroup: "tills" }, { deviceGroup: "shops" }]), ["d1", "d0"]);
  });

  it("an order that does not exist, and one that is not named, are refused", () => {
    const texts = (fields: MessageInitShape<typeof ListDevicesRequestSchema>) =>
      validateDeviceOrder(create(ListDevicesRequestSchema, fields)).map(({ field, description }) => `${field}: ${description}`);
    assert.match(texts({ order: newer, descending: false })[0] ?? "", /^order: invalid order "99"; use DEVICE_ORDER_DEVICE_ID, /);
    assert.match(texts({ order: DeviceOrder.UNSPECIFIED, descending: true })[0] ?? "", /^descending: .* without an order; /);
  });

  it("of many devices a page holds a few, and looks at 500 in a turn", async () => {
    const first = new FirstInOrder({ order: DeviceOrder.DEVICE_ID, descending: true }, undefined, 3);
    const devices = Array.from({ length: 5000 }, (_, index) => ({
      ...{ deviceId: `d${10_000 + index}`, summary: undefined, connection: create(DeviceConnectionSchema) },
    }));
    let turns = 0;
    let isOver = false;
    const counting = (async () => {
      while (!isOver) {
        turns++;
        await turn();
      }
    })();
    await first.add("shops", devices, standingOf, never);
    isOver = true;
    await counting;
    assert.ok(turns >= 10, `${turns} turns`);
    const { found, hasMore } = first.take();
    assert.deepEqual([found.map(({ device }) => device.deviceId), hasMore], [["d14999", "d14998", "d14997"], true]);
  });
});

describe("lists of devices in an order", () => {
  const connection = { order: DeviceOrder.CONNECTION };

  it("devices are listed by where they stand, the worst first, and the other way round", async () => {
    await using rig = await startFleet();
    const order = DeviceOrder.STANDING;
    assert.deepEqual((await rig.list({}, { order })).ids, ["broken", "new", "old", "fine", "gone"]);
    assert.deepEqual((await rig.list({}, { order, descending: true })).ids, ["gone", "fine", "old", "new", "broken"]);
    assert.deepEqual((await rig.list({ workerVersion: "0.1.0" }, { order })).ids, ["broken", "fine", "gone"]);
    assert.deepEqual((await rig.list({}, { ...connection, limit: 1 })).ids, ["gone"]);
  });

  it("pages go through all groups that the caller may read, with reports and without", async () => {
    await using rig = await startDevicesRig();
    for (const number of [3, 1, 2]) {
      for (const deviceGroup of ["offices", "shops", "tills"]) await rig.put(`d-${number}-${deviceGroup}`, { deviceGroup });
    }
    const by = groupUser({ offices: "ro", tills: "rw" });
    for (const summariesOnly of [true, false]) {
      const all: string[] = [];
      for (let after = ""; ; ) {
        const page = await rig.list({}, { deviceGroup: "", order: DeviceOrder.DEVICE_ID, limit: 2, after, by, summariesOnly });
        assert.ok(page.devices.every(({ report }) => (report === undefined) === summariesOnly));
        all.push(...page.ids);
        if (page.next === "") break;
        after = page.next;
      }
      assert.deepEqual(all, ["d-1-offices", "d-1-tills", "d-2-offices", "d-2-tills", "d-3-offices", "d-3-tills"]);
    }
  });

  it("a device that is forgotten, or changes, between two pages moves no other one", async () => {
    await using rig = await startDevicesRig();
    for (const day of [1, 2, 3, 4]) await rig.put(`d${day}`, {}, NOW_MS - day * DAY_MS);
    const order = DeviceOrder.REPORTED;
    const first = await rig.list({}, { order, limit: 2 });
    assert.deepEqual(first.ids, ["d4", "d3"]);
    await rig.put("d3", {}, NOW_MS); // the page ended with it
    await rig.put("d4", {}, NOW_MS - 3.5 * DAY_MS);
    assert.deepEqual((await rig.list({}, { order, limit: 2, after: first.next })).ids, ["d2", "d1"]);
  });

  it("a token of another order, of no order, or of nothing is refused, and so is one of an order where none is asked for", async () => {
    await using rig = await startFleet();
    const { next } = await rig.list({}, { ...connection, limit: 1 });
    const refused = (options: Parameters<typeof rig.list>[1], text: RegExp) =>
      assert.rejects(rig.list({}, options), (error) => isNebulaError(error, "invalid_argument") && text.test(JSON.stringify(error.violations)));
    await refused({ order: DeviceOrder.REPORTED, after: next }, /page_token.*is of a list by connection; give order and descending/);
    await refused({ ...connection, descending: true, after: next }, /page_token.*is of a list by connection;/);
    await refused({ after: next }, /page_token.*not a token of this list/);
    for (const after of [encodeDevicePosition({ deviceGroup: "shops", deviceId: "fine" }), "x", `${next}x`]) {
      await refused({ ...connection, after }, /page_token.*not a token of this list/);
    }
  });

  it("too many groups to put in order are refused, and one of them is listed", async () => {
    await using rig = await startDevicesRig();
    for (let index = 0; index < 1000; index++) await rig.createGroup(`g-${index}`);
    await assert.rejects(
      rig.list({}, { deviceGroup: "", ...connection }),
      (error) => isNebulaError(error, "failed_precondition") && /name a device_group, or no order/.test(error.message),
    );
    assert.deepEqual((await rig.list({}, { deviceGroup: "g-7", ...connection })).ids, []);
  });
});

import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { DEVICE_STATES, type DeviceState } from "../../../common/insight/device-state.ts";
import { WatchApplyRequestSchema, WatchApplyResponseSchema } from "../../../gen/nebula/v1/apply_pb.ts";
import {
  ConfigStanding,
  ConnectionState,
  CountDevicesRequestSchema,
  DeviceFilterSchema,
  DeviceOrder,
  type FailureCodeCount,
  TargetKind,
  WatchDevicesRequestSchema,
} from "../../../gen/nebula/v1/device_pb.ts";
import type { StandingCounts } from "../../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { watchApply } from "../../insight/apply/watch-apply.ts";
import { callOf } from "../../testing/entity-rig.ts";
import { ADMIN, startFleetRig } from "../../testing/fleet-rig.ts";

type Rig = Awaited<ReturnType<typeof startFleetRig>>;
type Filter = Exclude<MessageInitShape<typeof DeviceFilterSchema>, { $typeName: string }>;

const STANDINGS = {
  applied: ConfigStanding.APPLIED,
  failed: ConfigStanding.FAILED,
  offline: ConfigStanding.OFFLINE,
  working: ConfigStanding.WORKING,
  waiting: ConfigStanding.WAITING,
} as const satisfies Record<DeviceState, ConfigStanding>;

const anyApp = fc.record({
  revision: fc.bigInt({ min: 0n, max: 2n }),
  isApplied: fc.boolean(),
  state: fc.constantFrom(TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED),
  failureCode: fc.constantFrom(FailureCode.UNSPECIFIED, FailureCode.EXITS, FailureCode.NO_SPACE, FailureCode.IMAGE_STALE),
});
/** `gone` does not exist, and devices report from it. */
const anyDevice = fc.record({
  deviceGroup: fc.constantFrom("shops", "tills", "gone"),
  isOnline: fc.boolean(),
  hasReported: fc.boolean(),
  /** The device is connected in another group than that of its report. */
  moves: fc.boolean(),
  groupRevision: fc.bigInt({ min: 0n, max: 1n }),
  problems: fc.subarray(["engine_unreachable", "second_worker"]),
  web: anyApp,
  pos: anyApp,
});
type AnyDevice = typeof anyDevice extends fc.Arbitrary<infer Device> ? Device : never;

function staying(device: AnyDevice): AnyDevice {
  return { ...device, moves: false };
}

async function put(rig: Rig, deviceId: string, device: AnyDevice): Promise<void> {
  const { deviceGroup, isOnline, hasReported, moves, groupRevision, problems, web, pos } = device;
  const movesTo = deviceGroup === "shops" ? "tills" : "shops";
  if (isOnline) await rig.online(deviceId, moves && hasReported ? movesTo : deviceGroup);
  if (!hasReported) return;
  const app = (name: string, { revision, isApplied, state, failureCode }: AnyDevice["web"]) => ({
    ...{ name, revision, state, failureCode },
    appliedRevision: isApplied ? revision : 0n,
    containers: [{ name: `${name}-1`, revision }],
  });
  await rig.put(deviceId, deviceGroup, { groupRevision, problems: problems.map((code) => ({ code })), apps: [app("web", web), app("pos", pos)] });
}

type Change = Readonly<{ kind: TargetKind; name: string; revision: bigint; added: { kind: TargetKind; name: string }[] }>;

/** The first message of a WatchApply. */
async function followed({ groupViews, reportStore, clock, deps }: Rig, target: Change) {
  const parts = { groupViews, reportStore, clock, configStore: deps.configStore, changeFeed: deps.changeFeed };
  const messages = watchApply(parts, create(WatchApplyRequestSchema, { targets: [target] }), {
    ...callOf("ann"),
    principal: ADMIN,
    keepAllowed() {},
  });
  const { value } = await messages.next();
  await messages.return();
  return create(WatchApplyResponseSchema, value ?? assert.fail("no message"));
}

/** The ids of the devices that a filter lists. */
async function listed({ devices }: Rig, deviceGroup: string, filter: Filter): Promise<string[]> {
  const page = { summariesOnly: true, page: { limit: 1000 }, order: DeviceOrder.UNSPECIFIED, descending: false };
  const list = { deviceGroup, filter: create(DeviceFilterSchema, filter), ...page };
  return (await devices.listDevices(list, ADMIN, callOf("ann").signal)).devices.map(({ deviceId }) => deviceId);
}

/** How many devices a filter lists, counts and sends. */
async function matching(rig: Rig, deviceGroups: readonly string[], filter: Filter): Promise<number[]> {
  const { devices } = rig;
  const context = { ...callOf("ann"), principal: ADMIN, keepAllowed() {} };
  const numbers: [number, number, number] = [0, 0, 0];
  for (const deviceGroup of deviceGroups) {
    numbers[0] += (await listed(rig, deviceGroup, filter)).length;
    const counted = await devices.unary.countDevices(create(CountDevicesRequestSchema, { deviceGroup, filter }), context);
    for (const { devices } of counted.deviceGroups ?? []) numbers[1] += Number(devices);
    const watch = devices.streams.watchDevices(create(WatchDevicesRequestSchema, { deviceGroups: [deviceGroup], filter }), context);
    for await (const { devices } of watch) {
      numbers[2] += devices?.length ?? 0;
      break;
    }
  }
  return numbers;
}

describe("the devices behind the numbers of an overview", () => {
  it("each number by standing, code and problem is that of the devices that its filter lists, counts and sends", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyDevice, { minLength: 1, maxLength: 12 }), async (given) => {
        await using rig = await startFleetRig();
        for (const [index, device] of given.entries()) await put(rig, `device-${index}`, device);
        const { fleet, groups } = await rig.get();
        const known = given.filter(({ isOnline, hasReported }) => isOnline || hasReported);
        const counts = fleet?.states;
        assert.equal(
          DEVICE_STATES.reduce((sum, state) => sum + Number(counts?.[state] ?? 0n), 0),
          known.length,
          "each once, also those that move",
        );
        const isSame = async (names: readonly string[], filter: Filter, devices: bigint) => {
          const about = JSON.stringify({ names, ...filter });
          assert.deepEqual(await matching(rig, names, filter), Array(3).fill(Number(devices)), about);
        };
        const areSame = async (names: readonly string[], states: StandingCounts | undefined, codes: readonly FailureCodeCount[]) => {
          assert.ok(states !== undefined);
          for (const state of DEVICE_STATES) await isSame(names, { standing: STANDINGS[state] }, states[state]);
          await isSame(names, { connection: ConnectionState.ONLINE }, states.online);
          for (const { failureCode, devices } of codes)
            if (failureCode !== FailureCode.UNSPECIFIED) await isSame(names, { standing: ConfigStanding.FAILED, failureCode }, devices);
        };
        for (const { deviceGroup, states, failureCodes } of groups) await areSame([deviceGroup], states, failureCodes);
        const all = groups.map(({ deviceGroup }) => deviceGroup);
        await areSame(all, fleet?.states, fleet?.failureCodes ?? []);
        for (const { code, devices } of fleet?.problems ?? []) await isSame(all, { problem: code }, devices);
      }),
      { numRuns: 40 },
    );
  });

  it("each number of an app, by its standing and code, is that of the devices that its filter lists, counts and sends", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyDevice, { minLength: 1, maxLength: 12 }), fc.boolean(), async (given, isUpdated) => {
        await using rig = await startFleetRig();
        for (const [index, device] of given.entries()) await put(rig, `device-${index}`, device);
        if (isUpdated) await rig.updateWeb();
        const { groups } = await rig.get({ members: true });
        let numbers = 0;
        for (const { deviceGroup, members } of groups) {
          for (const { newest, states } of members) {
            assert.ok(newest !== undefined && states !== undefined);
            for (const state of DEVICE_STATES) {
              const filter: Filter = { target: { kind: newest.kind, name: newest.name }, standing: STANDINGS[state] };
              assert.deepEqual(
                await matching(rig, [deviceGroup], filter),
                Array(3).fill(Number(states[state])),
                `${deviceGroup} ${newest.name} ${state}`,
              );
              numbers += Number(states[state]);
            }
          }
        }
        const reached = given.filter(({ deviceGroup, isOnline, hasReported }) => deviceGroup !== "gone" && (isOnline || hasReported));
        assert.equal(numbers, reached.filter(({ deviceGroup }) => deviceGroup === "tills").length + reached.length);
      }),
      { numRuns: 25 },
    );
  });

  it("each number of a change, as WatchApply counts it, is that of the devices that its filter lists, counts and sends", async () => {
    const web = { kind: TargetKind.APP, name: "web" };
    const anyChange = fc.constantFrom<Change>(
      { ...web, revision: 1n, added: [] },
      { ...web, revision: 2n, added: [] },
      { kind: TargetKind.APP, name: "pos", revision: 1n, added: [] },
      { kind: TargetKind.DEVICE_GROUP, name: "shops", revision: 1n, added: [web] },
    );
    await fc.assert(
      // WatchApply counts a device that moves where it is connected
      fc.asyncProperty(fc.array(anyDevice.map(staying), { minLength: 1, maxLength: 12 }), anyChange, async (given, change) => {
        await using rig = await startFleetRig();
        for (const [index, device] of given.entries()) await put(rig, `device-${index}`, device);
        await rig.updateWeb();
        const { counts, failures } = await followed(rig, change);
        const { kind, name, revision } = change;
        const isGone = ({ deviceGroup, isOnline, hasReported }: AnyDevice) => deviceGroup === "gone" && (isOnline || hasReported);
        const all = ["shops", "tills", ...(given.some(isGone) ? ["gone"] : [])];
        const areSame = async (filter: Filter, devices: bigint) => {
          const asked = { target: { kind, name, revision }, ...filter };
          assert.deepEqual(await matching(rig, all, asked), Array(3).fill(Number(devices)), JSON.stringify(filter));
          assert.equal((await listed(rig, "", asked)).length, Number(devices));
        };
        assert.ok(counts !== undefined);
        await areSame({}, counts.devices);
        for (const state of DEVICE_STATES) await areSame({ standing: STANDINGS[state] }, counts[state]);
        for (const { failureCode, devices } of failures)
          if (failureCode !== FailureCode.UNSPECIFIED) await areSame({ standing: ConfigStanding.FAILED, failureCode }, devices);
      }),
      { numRuns: 25 },
    );
  });
});

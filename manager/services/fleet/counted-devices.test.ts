import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { DEVICE_STATES, type DeviceState } from "../../../common/insight/device-state.ts";
import {
  ConfigStanding,
  CountDevicesRequestSchema,
  DeviceFilterSchema,
  DeviceOrder,
  type FailureCodeCount,
  WatchDevicesRequestSchema,
} from "../../../gen/nebula/v1/device_pb.ts";
import type { StandingCounts } from "../../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
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
  groupRevision: fc.bigInt({ min: 0n, max: 1n }),
  problems: fc.subarray(["engine_unreachable", "second_worker"]),
  web: anyApp,
  pos: anyApp,
});
type AnyDevice = typeof anyDevice extends fc.Arbitrary<infer Device> ? Device : never;

async function put(rig: Rig, deviceId: string, { deviceGroup, isOnline, hasReported, groupRevision, problems, web, pos }: AnyDevice): Promise<void> {
  if (isOnline) await rig.online(deviceId, deviceGroup);
  if (!hasReported) return;
  const app = (name: string, { revision, isApplied, state, failureCode }: AnyDevice["web"]) => ({
    ...{ name, revision, state, failureCode },
    appliedRevision: isApplied ? revision : 0n,
    containers: [{ name: `${name}-1`, revision }],
  });
  await rig.put(deviceId, deviceGroup, { groupRevision, problems: problems.map((code) => ({ code })), apps: [app("web", web), app("pos", pos)] });
}

/** How many devices a filter lists, counts and sends. */
async function matching({ devices }: Rig, deviceGroups: readonly string[], filter: Filter): Promise<number[]> {
  const context = { ...callOf("ann"), principal: ADMIN, keepAllowed() {} };
  const numbers: [number, number, number] = [0, 0, 0];
  for (const deviceGroup of deviceGroups) {
    const asked = {
      deviceGroup,
      filter: create(DeviceFilterSchema, filter),
      summariesOnly: true,
      page: { limit: 1000 },
      order: DeviceOrder.UNSPECIFIED,
      descending: false,
    };
    numbers[0] += (await devices.listDevices(asked, ADMIN, context.signal)).devices.length;
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
        const isSame = async (names: readonly string[], filter: Filter, devices: bigint) => {
          const about = JSON.stringify({ names, ...filter });
          assert.deepEqual(await matching(rig, names, filter), Array(3).fill(Number(devices)), about);
        };
        const areSame = async (names: readonly string[], states: StandingCounts | undefined, codes: readonly FailureCodeCount[]) => {
          assert.ok(states !== undefined);
          for (const state of DEVICE_STATES) await isSame(names, { standing: STANDINGS[state] }, states[state]);
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
});

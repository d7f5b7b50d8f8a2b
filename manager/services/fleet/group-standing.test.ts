import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { stateOfDevice } from "../../../common/insight/device-state.ts";
import { ConnectionState, DeviceConnectionSchema, DeviceSummarySchema, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { Newest } from "../../insight/drift.ts";
import { GroupCounting } from "../../insight/views/group-counting.ts";
import type { DeviceInGroup } from "../../insight/views/group-view.ts";
import { GroupStanding } from "./group-standing.ts";

const { APP } = TargetKind;
const NEWEST: Newest = {
  deviceGroup: "pos",
  groupRevision: 7n,
  targets: [
    { kind: APP, verb: "update", name: "web", revision: 4n },
    { kind: APP, verb: "stop", name: "old", revision: 2n },
  ],
  images: new Map(),
  changedAt: 0,
};

const anyDevice = fc.record({
  id: fc.integer({ min: 0, max: 1200 }),
  state: fc.constantFrom(TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED),
  code: fc.constantFrom(FailureCode.UNSPECIFIED, FailureCode.EXITS, FailureCode.NO_SPACE),
  revision: fc.bigInt({ min: 3n, max: 5n }),
  online: fc.boolean(),
  hasReported: fc.boolean(),
  isRemoved: fc.boolean(),
});

function deviceOf({ id, state, code, revision, online, hasReported }: typeof anyDevice extends fc.Arbitrary<infer T> ? T : never): DeviceInGroup {
  const deviceId = `d${id}`;
  const target = { kind: APP, name: "web", revision, appliedRevision: state === TargetState.APPLIED ? revision : 3n, state, failureCode: code };
  const summary = create(DeviceSummarySchema, {
    deviceId,
    groupRevision: 7n,
    workerVersion: `v${revision}`,
    problems: online ? ["p"] : [],
    targets: [target],
  });
  return {
    deviceId,
    summary: hasReported ? summary : undefined,
    connection: create(DeviceConnectionSchema, { state: online ? ConnectionState.ONLINE : ConnectionState.OFFLINE }),
  };
}

const numbersOf = (standing: GroupStanding) => ({
  counts: standing.counts,
  members: NEWEST.targets.map(({ name }) => standing.ofMember(`app/${name}`)),
  failures: [...standing.failures].sort(([a], [b]) => a - b),
  versions: [...standing.versions].sort(),
  problems: [...standing.problems],
  bytes: standing.bytes,
});

describe("the numbers of a group", () => {
  it("the numbers of a group that moved by its changes, at any time of its count, equal a count of all of its devices", async () => {
    const [before, during, after] = [0, 1, 2].map(() => fc.array(anyDevice, { maxLength: 30 }));
    await fc.assert(
      fc.asyncProperty(
        before ?? assert.fail(),
        during ?? assert.fail(),
        after ?? assert.fail(),
        fc.boolean(),
        async (first, meanwhile, later, isLarge) => {
          const devices = new Map<string, DeviceInGroup>();
          if (isLarge)
            for (let id = 0; id < 1100; id++)
              devices.set(
                `d${id}`,
                deviceOf({ id, state: TargetState.APPLIED, code: 0, revision: 4n, online: true, hasReported: true, isRemoved: false }),
              );
          for (const each of first) devices.set(`d${each.id}`, deviceOf(each));
          const counting = new GroupCounting(new GroupStanding("pos", NEWEST));
          const change = (each: (typeof first)[number], take: GroupCounting<GroupStanding> | GroupStanding) => {
            const known = devices.get(`d${each.id}`);
            const now = each.isRemoved ? undefined : deviceOf(each);
            if (known === undefined && now === undefined) return;
            if (now === undefined) devices.delete(`d${each.id}`);
            else devices.set(`d${each.id}`, now);
            take.change({ before: known, after: now });
          };
          const running = counting.run(devices, new AbortController().signal);
          for (const each of meanwhile) change(each, counting);
          await running;
          for (const each of later) change(each, counting.standing);

          const recount = new GroupStanding("pos", NEWEST);
          for (const device of devices.values()) recount.change({ before: undefined, after: device });
          assert.deepEqual(numbersOf(counting.standing), numbersOf(recount));
          const { applied, failed, offline, working, waiting } = recount.counts;
          assert.equal(applied + failed + offline + working + waiting, devices.size);
          for (const target of NEWEST.targets) {
            const appliedIt = [...devices.values()].filter((device) => stateOfDevice(device, [target]).state === "applied").length;
            assert.equal(recount.ofMember(`app/${target.name}`)?.applied, appliedIt);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("devices of a group that does not exist count as applied", () => {
    const standing = new GroupStanding("gone", undefined);
    standing.change({
      before: undefined,
      after: deviceOf({
        id: 1,
        state: TargetState.FAILED,
        code: FailureCode.EXITS,
        revision: 4n,
        online: false,
        hasReported: true,
        isRemoved: false,
      }),
    });
    assert.deepEqual([standing.counts.applied, standing.failures.size], [1, 0]);
  });
});

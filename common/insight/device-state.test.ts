import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { ConnectionState, DeviceConnectionSchema, DeviceSummarySchema, TargetKind, type TargetSummarySchema } from "../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { type DeviceState, type Standing, stateOfDevice, type Target } from "./device-state.ts";

const { APP, CRON_JOB, DEVICE_GROUP } = TargetKind;
const { APPLIED, WORKING, FAILED } = TargetState;

type Known = MessageInitShape<typeof TargetSummarySchema>;

/** A device that reports these, online unless said otherwise. */
function device(
  targets: Known[],
  { online = true, ...fields }: { online?: boolean; groupRevision?: bigint; pruneId?: bigint; problems?: string[] } = {},
): Standing {
  return { summary: create(DeviceSummarySchema, { deviceId: "d", targets, ...fields }), connection: connection(online) };
}

function connection(online: boolean) {
  return create(DeviceConnectionSchema, { state: online ? ConnectionState.ONLINE : ConnectionState.OFFLINE });
}

const NEVER_REPORTED: Standing = { summary: undefined, connection: connection(true) };

/** The app web as a device reports it. */
function web(revision: bigint, appliedRevision: bigint, state: TargetState, more: Known = {}): Known {
  return { kind: APP, name: "web", revision, appliedRevision, state, containers: 1, ...more };
}

const update: Target = { kind: APP, name: "web", revision: 42n, verb: "update" };
const stop: Target = { kind: APP, name: "web", revision: 42n, verb: "stop" };
const remove: Target = { kind: APP, name: "web", revision: 42n, verb: "delete" };
const cron: Target = { kind: CRON_JOB, name: "job", revision: 5n, verb: "update" };
const prune: Target = { kind: DEVICE_GROUP, name: "pos", revision: 8n, verb: "prune", pruneId: 3n };
const group: Target = {
  kind: DEVICE_GROUP,
  name: "pos",
  revision: 7n,
  verb: "update",
  added: [{ kind: APP, name: "web" }],
  removed: [{ kind: APP, name: "old" }],
};
const old: Known = { kind: APP, name: "old", revision: 3n, appliedRevision: 3n, state: WORKING, containers: 1 };
const at7 = { groupRevision: 7n };

const CASES: readonly [name: string, device: Standing, targets: readonly Target[], expected: DeviceState][] = [
  ["an app at the revision and as wanted is applied", device([web(42n, 42n, APPLIED)]), [update], "applied"],
  ["an app at a newer revision is applied", device([web(43n, 43n, APPLIED)]), [update], "applied"],
  ["an app that was at the revision and works on a newer one is working", device([web(43n, 42n, WORKING)]), [update], "working"],
  [
    "an app that was at the revision and fails since has failed",
    device([web(42n, 42n, FAILED, { failureCode: FailureCode.EXITS })]),
    [update],
    "failed",
  ],
  ["an app at an older revision is waiting", device([web(41n, 41n, APPLIED)]), [update], "waiting"],
  ["an app that failed at an older revision is waiting: that does not answer the change", device([web(41n, 40n, FAILED)]), [update], "waiting"],
  ["an app on its way to the revision is working", device([web(42n, 41n, WORKING)]), [update], "working"],
  ["an app on its way that has a code has failed", device([web(42n, 41n, WORKING, { failureCode: FailureCode.PORT_TAKEN })]), [update], "failed"],
  ["an app of an older worker that failed without a code has failed", device([web(42n, 41n, FAILED)]), [update], "failed"],
  ["a stale image is working", device([web(42n, 42n, WORKING, { failureCode: FailureCode.IMAGE_STALE })]), [update], "working"],
  ["an offline device that had applied stays applied", device([web(42n, 42n, APPLIED)], { online: false }), [update], "applied"],
  ["an offline device that had failed stays failed", device([web(42n, 41n, FAILED)], { online: false }), [update], "failed"],
  ["an offline device that worked is offline", device([web(42n, 41n, WORKING)], { online: false }), [update], "offline"],
  ["a device that never reported and is online is waiting", NEVER_REPORTED, [update], "waiting"],
  ["a device that never reported and is offline is offline", { ...NEVER_REPORTED, connection: connection(false) }, [update], "offline"],
  ["a device without presence is offline", { summary: undefined, connection: create(DeviceConnectionSchema) }, [update], "offline"],
  ["a device that does not know the app is waiting", device([]), [update], "waiting"],
  ["a stopped app without containers is applied", device([web(42n, 42n, APPLIED, { containers: 0 })]), [stop], "applied"],
  ["a stopped app with a container left is working", device([web(42n, 41n, WORKING)]), [stop], "working"],
  ["a stopped app that was started again is as the newer revision wants it", device([web(43n, 43n, APPLIED)]), [stop], "applied"],
  ["a stopped app of which the device knows nothing yet is waiting", device([web(41n, 41n, APPLIED)]), [stop], "waiting"],
  ["a deleted app that the device does not know is applied", device([]), [remove], "applied"],
  ["a deleted app without containers is applied", device([web(42n, 0n, APPLIED, { containers: 0 })]), [remove], "applied"],
  ["a deleted app with containers is working once the device knows", device([web(42n, 41n, WORKING)]), [remove], "working"],
  [
    "a deleted app without containers of a device that does not know yet is waiting",
    device([web(41n, 40n, FAILED, { containers: 0 })]),
    [remove],
    "waiting",
  ],
  [
    "a deleted app whose container can't be removed has failed",
    device([web(42n, 41n, FAILED, { failureCode: FailureCode.REMOVE_FAILED })]),
    [remove],
    "failed",
  ],
  ["a deleted app of a device that never reported is waiting", NEVER_REPORTED, [remove], "waiting"],
  [
    "a cron_job whose schedule is in force is applied, though its last run failed",
    device([{ kind: CRON_JOB, name: "job", revision: 5n, appliedRevision: 5n, state: FAILED, failureCode: FailureCode.RUN_FAILED }]),
    [cron],
    "applied",
  ],
  [
    "a cron_job that its device refuses has failed",
    device([{ kind: CRON_JOB, name: "job", revision: 5n, appliedRevision: 4n, state: FAILED, failureCode: FailureCode.CONFIG_INVALID }]),
    [cron],
    "failed",
  ],
  ["an app of the same name is not a cron_job", device([{ ...web(5n, 5n, APPLIED), name: "job" }]), [cron], "waiting"],
  [
    "a group whose revision came, with what it added applied and what it removed gone, is applied",
    device([web(1n, 1n, APPLIED)], at7),
    [group],
    "applied",
  ],
  [
    "a group whose revision did not come is waiting, even if all else is so",
    device([web(1n, 1n, APPLIED)], { groupRevision: 6n }),
    [group],
    "waiting",
  ],
  ["a group that removed an app whose container is left is working", device([web(1n, 1n, APPLIED), old], at7), [group], "working"],
  ["a group that added an app which is on its way is working", device([web(1n, 0n, WORKING)], at7), [group], "working"],
  ["a group that added an app which fails has failed", device([web(1n, 0n, FAILED, { failureCode: FailureCode.NO_SPACE })], at7), [group], "failed"],
  ["a group whose added app is not reported yet is working", device([], at7), [group], "working"],
  ["a deleted group asks for nothing", NEVER_REPORTED, [{ kind: DEVICE_GROUP, name: "pos", revision: 9n, verb: "delete" }], "applied"],
  ["a prune that was done is applied", device([], { groupRevision: 8n, pruneId: 3n }), [prune], "applied"],
  ["a prune that the device knows of is working", device([], { groupRevision: 8n, pruneId: 2n }), [prune], "working"],
  ["a prune that the device does not know of is waiting", device([], { groupRevision: 7n, pruneId: 2n }), [prune], "waiting"],
  ["a prune that failed has failed", device([], { groupRevision: 8n, pruneId: 2n, problems: ["prune_failed"] }), [prune], "failed"],
  ["a failure of an earlier prune is not this one's", device([], { groupRevision: 7n, pruneId: 2n, problems: ["prune_failed"] }), [prune], "waiting"],
  [
    "two targets of which one is applied and one not answered are working",
    device([web(42n, 42n, APPLIED)], { groupRevision: 7n }),
    [update, prune],
    "working",
  ],
  ["two targets of which one failed have failed", device([web(42n, 41n, FAILED)], { groupRevision: 8n, pruneId: 3n }), [update, prune], "failed"],
  ["two targets that are trivially so are no answer", device([]), [remove, update], "waiting"],
  ["no target is applied", NEVER_REPORTED, [], "applied"],
];

const anyKnown = fc.record({
  kind: fc.constantFrom(APP, CRON_JOB),
  name: fc.constantFrom("web", "job", "old"),
  revision: fc.bigInt(40n, 44n),
  appliedRevision: fc.bigInt(40n, 44n),
  state: fc.constantFrom(APPLIED, WORKING, FAILED),
  failureCode: fc.constantFrom(FailureCode.UNSPECIFIED, FailureCode.IMAGE_STALE, FailureCode.EXITS),
  containers: fc.nat(2),
});
const anyDevice: fc.Arbitrary<Standing> = fc
  .record({
    targets: fc.uniqueArray(anyKnown, { selector: ({ kind, name }) => `${kind}/${name}`, maxLength: 5 }),
    online: fc.boolean(),
    groupRevision: fc.bigInt(6n, 9n),
    pruneId: fc.bigInt(1n, 4n),
    problems: fc.subarray(["prune_failed", "other"]),
    reports: fc.boolean(),
  })
  .map(({ targets, reports, ...rest }) => ({ ...device(targets, rest), ...(reports ? {} : { summary: undefined }) }));
const anyTargets = fc.array(fc.constantFrom(update, stop, remove, cron, group, prune), { maxLength: 12 });

describe("the state of a device", () => {
  for (const [name, standing, targets, expected] of CASES) {
    it(name, () => assert.equal(stateOfDevice(standing, targets).state, expected));
  }

  it("a device that failed names the target, code and step", () => {
    const failing = device([web(42n, 41n, FAILED, { failureCode: FailureCode.NO_SPACE, stepKind: 7 })]);
    assert.deepEqual(stateOfDevice(failing, [update]), { state: "failed", about: { kind: APP, name: "web" }, code: FailureCode.NO_SPACE, step: 7 });
  });

  it("a state does not depend on the order of the targets, nor on a target that is named twice", () => {
    fc.assert(
      fc.property(anyDevice, anyTargets, (standing, targets) => {
        const { state } = stateOfDevice(standing, targets);
        assert.equal(stateOfDevice(standing, targets.toReversed()).state, state);
        assert.equal(stateOfDevice(standing, [...targets, ...targets]).state, state);
      }),
    );
  });

  it("a device is applied if and only if it is with each target alone, and offline, working or waiting only as its connection says", () => {
    fc.assert(
      fc.property(anyDevice, anyTargets, (standing, targets) => {
        const { state } = stateOfDevice(standing, targets);
        const alone = targets.map((target) => stateOfDevice(standing, [target]).state);
        assert.equal(
          state === "applied",
          alone.every((each) => each === "applied"),
        );
        assert.equal(state === "failed", alone.includes("failed"));
        const online = standing.connection.state === ConnectionState.ONLINE;
        if (state === "offline") assert.ok(!online);
        if (state === "working" || state === "waiting") assert.ok(online);
      }),
    );
  });

  it("a device that loses its connection changes to offline or stays as it is", () => {
    fc.assert(
      fc.property(anyDevice, anyTargets, (standing, targets) => {
        const before = stateOfDevice({ ...standing, connection: connection(true) }, targets).state;
        const after = stateOfDevice({ ...standing, connection: connection(false) }, targets).state;
        assert.equal(after, before === "working" || before === "waiting" ? "offline" : before);
      }),
    );
  });
});

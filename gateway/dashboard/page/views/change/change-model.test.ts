import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ApplyTargetSchema, ApplyVerb, DeviceStanding, WatchApplyResponseSchema } from "../../../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { RevisionAction, RevisionSchema } from "../../../../../gen/nebula/v1/history_pb.ts";
import { FailureCode } from "../../../../../gen/nebula/v1/report_pb.ts";
import { addSample, changeHead, changeProgress, curvePoints, followedOf, type Sample } from "./change-model.ts";

const revision = (init: MessageInitShape<typeof RevisionSchema>) =>
  create(RevisionSchema, { kind: TargetKind.APP, name: "web", revision: 42n, ...init });
const target = create(ApplyTargetSchema, { kind: TargetKind.APP, name: "web", revision: 42n, verb: ApplyVerb.UPDATE });
const progress = (message: MessageInitShape<typeof WatchApplyResponseSchema>) =>
  changeProgress(create(WatchApplyResponseSchema, { revisions: [42n], ...message }), target);

describe("what is followed of a change", () => {
  it("an app is followed as updated, stopped or deleted, by its revision", () => {
    const verbOf = (init: MessageInitShape<typeof RevisionSchema>) => followedOf(revision(init), undefined).verb;
    assert.equal(verbOf({ body: { case: "app", value: { name: "web", running: true } } }), ApplyVerb.UPDATE);
    assert.equal(verbOf({ body: { case: "app", value: { name: "web", running: false } } }), ApplyVerb.STOP);
    assert.equal(verbOf({ action: RevisionAction.DELETE }), ApplyVerb.DELETE);
  });

  it("a device_group is followed by the members that it gained and lost, or by its prune", () => {
    const group = (apps: string[], more: MessageInitShape<typeof RevisionSchema> = {}) =>
      revision({ kind: TargetKind.DEVICE_GROUP, name: "pos", body: { case: "deviceGroup", value: { apps, pruneId: 7n } }, ...more });
    const { added, removed, verb } = followedOf(group(["a", "b"]), group(["b", "c"]));
    assert.deepEqual([added.map(({ name }) => name), removed.map(({ name }) => name), verb], [["a"], ["c"], ApplyVerb.UPDATE]);
    const pruned = followedOf(group(["a"], { action: RevisionAction.PRUNE }), group(["a"]));
    assert.deepEqual([pruned.verb, pruned.pruneId], [ApplyVerb.PRUNE, 7n]);
    assert.equal(followedOf(group(["a"]), undefined).added.length, 1);
  });
});

describe("how far a change is", () => {
  it("the counts are those of the server, in the order of the bar", () => {
    const { parts, devices, applied, to } = progress({ counts: { devices: 15n, applied: 5n, working: 4n, waiting: 3n, failed: 2n, offline: 1n } });
    assert.deepEqual(
      parts.map(({ state, count }) => `${state} ${count}`),
      ["applied 5", "working 4", "waiting 3", "failed 2", "offline 1"],
    );
    assert.deepEqual([devices, applied], [15n, 5n]);
    assert.deepEqual([to, parts[3]?.to], ["/ui/devices?target=app%2Fweb%4042", "/ui/devices?target=app%2Fweb%4042&standing=failed"]);
  });

  it("the verdict is that of apply --wait", () => {
    const verdictOf = (counts: Record<string, bigint>) => progress({ counts }).verdict;
    assert.equal(verdictOf({ devices: 3n, applied: 1n, waiting: 2n, online: 3n }), "moving");
    assert.equal(verdictOf({ devices: 3n, failed: 1n, working: 2n, online: 3n }), "moving");
    assert.equal(verdictOf({ devices: 3n, applied: 3n, online: 3n }), "applied");
    assert.equal(verdictOf({ devices: 3n, applied: 2n, failed: 1n, online: 3n }), "failed");
    assert.equal(verdictOf({ devices: 3n, offline: 3n }), "none-online");
    assert.equal(verdictOf({}), "no-devices");
    const deleted = create(ApplyTargetSchema, { kind: TargetKind.DEVICE_GROUP, name: "pos", revision: 8n, verb: ApplyVerb.DELETE });
    const { verdict, summary } = changeProgress(create(WatchApplyResponseSchema, { counts: { devices: 3n, applied: 3n } }), deleted);
    assert.deepEqual([verdict, summary], ["nothing-asked", "3 devices keep what they run"]);
  });

  it("each failure code has its number, and the way to each device that is named", () => {
    const { failures } = progress({
      counts: { devices: 3n, failed: 3n },
      failures: [
        { standing: DeviceStanding.FAILED, failureCode: FailureCode.NO_SPACE, devices: 2n },
        { standing: DeviceStanding.FAILED, failureCode: FailureCode.UNSPECIFIED, devices: 1n },
      ],
      changed: [
        { deviceId: "till 7", deviceGroup: "pos", standing: DeviceStanding.FAILED, failureCode: FailureCode.NO_SPACE, reason: "disk \u202efull" },
        { deviceId: "b", deviceGroup: "pos", standing: DeviceStanding.FAILED },
      ],
    });
    assert.deepEqual(
      failures.map(({ code, count, devices }) => [code, count, devices.map(({ to, reason }) => `${to} ${reason}`)]),
      [
        ["no_space", 2n, ["/ui/devices/till%207 disk \\u202efull"]],
        ["no code", 1n, ["/ui/devices/b no code"]],
      ],
    );
    assert.deepEqual(
      failures.map(({ to }) => to),
      ["/ui/devices?target=app%2Fweb%4042&standing=failed&code=no_space", undefined],
    );
  });

  it("the devices that failed are said to be older where more changed than were named", () => {
    const olderOf = (moreChanged: { devices: bigint }[]) => progress({ moreChanged }).olderFailures;
    assert.equal(olderOf([]), undefined);
    assert.equal(olderOf([{ devices: 3n }]), "more devices changed at once than are named: some of these may have recovered");
  });

  it("a change that a newer one superseded says so, and links to that", () => {
    const { superseded } = progress({ superseded: [{ kind: TargetKind.APP, name: "web", revision: 43n, by: "bob" }] });
    assert.deepEqual(superseded, [{ text: "app web was changed again by bob: revision 43", to: "/ui/changes/app/web/43" }]);
  });

  it("the head names the action, and links to the revision before where it is kept", () => {
    const head = changeHead(revision({ action: RevisionAction.UPDATE, change: { by: "ann" }, previousRevision: 41n }));
    assert.deepEqual([head.action, head.by, head.before], ["update", "ann", "/ui/changes/app/web/41"]);
    assert.equal(changeHead(revision({ action: RevisionAction.CREATE })).before, undefined);
  });
});

const sample = (atMs: number, applied: number, devices = 10): Sample => ({ atMs, applied, devices });
const added = (...all: Sample[]) => all.reduce<readonly Sample[]>(addSample, []);

describe("the curve of devices that applied a change", () => {
  it("a level that lasts keeps its first and its newest sample", () => {
    const samples = added(sample(0, 0), sample(1, 0), sample(2, 0), sample(3, 5), sample(4, 5));
    assert.deepEqual(
      samples.map(({ atMs }) => atMs),
      [0, 2, 3, 4],
    );
  });

  it("a page that is open for long keeps a bounded number of samples, with the first and the newest", () => {
    const samples = added(...Array.from({ length: 5000 }, (_, index) => sample(index, index, 5000)));
    assert.ok(samples.length > 150 && samples.length <= 400, `${samples.length} samples`);
    assert.deepEqual([samples[0]?.atMs, samples.at(-1)?.atMs], [0, 4999]);
  });

  it("the curve rises in steps, from the left of its box to the right, and its top is all devices", () => {
    assert.equal(
      curvePoints(added(sample(1000, 0), sample(2000, 5), sample(3000, 10)), 100, 50),
      "0.0,50.0 50.0,50.0 50.0,25.0 100.0,25.0 100.0,0.0",
    );
  });

  it("one sample is not a curve yet", () => {
    assert.equal(curvePoints(added(sample(1000, 3)), 100, 50), "");
    assert.equal(curvePoints([], 100, 50), "");
  });
});

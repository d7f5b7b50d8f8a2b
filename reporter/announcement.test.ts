import { strict as assert } from "node:assert";
import { create, fromBinary } from "@bufbuild/protobuf";
import { sampleReport } from "../common/testing/sample-report.ts";
import { DeviceSchema } from "../gen/nebula/v1/device_pb.ts";
import { type Report, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { announcements } from "./announcement.ts";

function device(report: Report) {
  return create(DeviceSchema, { deviceId: report.deviceId, deviceGroup: report.deviceGroup, report });
}

describe("announcement of a status", () => {
  it("carries the states of the targets, and not their containers", () => {
    const report = sampleReport({
      seq: 7n,
      apps: [{ name: "web", revision: 4n, appliedRevision: 3n, state: TargetState.FAILED, reason: "no such image", containers: [{ name: "web-1" }] }],
    });
    const [event, ...more] = announcements(undefined, device(report));
    assert.deepEqual(more, []);
    assert.ok(event?.kind === "status");
    assert.equal(event.deviceGroup, "shops");
    const told = fromBinary(DeviceSchema, event.payload);
    assert.equal(told.deviceId, "device-1");
    assert.equal(told.report?.boot, "boot-1");
    assert.equal(told.report?.seq, 7n);
    const [app] = told.report?.apps ?? [];
    assert.deepEqual([app?.name, app?.revision, app?.appliedRevision, app?.state, app?.reason], ["web", 4n, 3n, TargetState.FAILED, "no such image"]);
    assert.deepEqual(app?.containers, []);
    assert.equal(told.report?.host, undefined);
  });

  it("goes to the group that the device left, too", () => {
    const before = device(sampleReport());
    const after = device(sampleReport({ deviceGroup: "offices" }));
    const groups = announcements(before, after).map((event) => event.kind === "status" && event.deviceGroup);
    assert.deepEqual(groups, ["shops", "offices"]);
    assert.equal(announcements(before, device(sampleReport({ seq: 2n }))).length, 1);
  });
});

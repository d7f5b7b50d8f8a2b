import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { ReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import { DeviceRecord } from "./device-record.ts";

function report(groupRevision: bigint, apps: readonly (readonly [string, bigint, bigint])[], seq = 1n) {
  return create(ReportSchema, {
    deviceId: "d",
    boot: "b",
    seq,
    groupRevision,
    apps: apps.map(([name, revision, appliedRevision]) => ({ name, revision, appliedRevision })),
  });
}

describe("record of a device", () => {
  it("a device's record has no flaw where revisions rise, apps come and go, and a report is sent again", () => {
    const record = new DeviceRecord("d");
    for (const each of [
      report(1n, [["web", 1n, 0n]]),
      report(1n, [["web", 2n, 1n]]),
      report(1n, [["web", 2n, 1n]]),
      report(2n, [["db", 7n, 7n]]),
      report(3n, [["web", 3n, 2n]]),
    ])
      record.reported(each);
    assert.deepEqual(record.flaws, []);
  });

  it("a device's record names a group, an app, and applied revisions that go back", () => {
    const record = new DeviceRecord("d");
    record.reported(report(2n, [["web", 5n, 5n]]));
    record.reported(report(1n, [["web", 4n, 3n]]));
    assert.deepEqual(record.flaws, ["d went from group revision 2 to 1", "d went from web 5 to 4", "d had applied web 5, then 3"]);
  });

  it("a device's record names two configs with one etag, and no config that comes again", () => {
    const record = new DeviceRecord("d");
    const config = create(ConfigSchema, { deviceGroup: "g" });
    record.configCame(config, "e1");
    record.configCame(config, "e1");
    assert.deepEqual(record.flaws, []);
    record.configCame(create(ConfigSchema, { deviceGroup: "h" }), "e1");
    assert.deepEqual(record.flaws, ["d got two configs with the etag e1"]);
  });

  it("a device's record has each acknowledged report once", () => {
    const record = new DeviceRecord("d");
    record.acknowledged(report(1n, [], 1n));
    record.acknowledged(report(1n, [], 2n));
    assert.deepEqual(
      record.takeAcknowledged().map(({ seq }) => seq),
      [1n, 2n],
    );
    assert.deepEqual(record.takeAcknowledged(), []);
  });
});

import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectionState, DeviceSchema } from "../../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../../../../gen/nebula/v1/report_pb.ts";
import { deviceRow, eachOnce } from "./device-row.ts";

describe("a line of the list of devices", () => {
  it("a device shows what is wrong with it first, and how much more", () => {
    const row = deviceRow(
      create(DeviceSchema, {
        deviceId: "till-7",
        deviceGroup: "pos",
        connection: { state: ConnectionState.OFFLINE, since: timestampFromMs(5000) },
        summary: {
          state: TargetState.FAILED,
          workerVersion: "0.1.0",
          receivedAtMs: 4000n,
          problems: ["second_worker"],
          targets: [{ name: "web", failureCode: FailureCode.EXITS }, { name: "db" }],
        },
      }),
    );
    assert.deepEqual(row, {
      id: "till-7",
      name: "till-7",
      group: "pos",
      connection: "offline",
      since: 5000,
      state: "failed",
      trouble: "second_worker, +1",
      version: "0.1.0",
      reportedAt: 4000,
    });
  });

  it("a device that never reported, and one of the original, are shown as such", () => {
    const silent = deviceRow(create(DeviceSchema, { deviceId: "new", deviceGroup: "pos" }));
    assert.deepEqual([silent.state, silent.connection, silent.version, silent.reportedAt, silent.trouble], ["unknown", "unknown", "", undefined, ""]);
    assert.equal(deviceRow(create(DeviceSchema, { summary: { original: true } })).version, "the original");
  });

  it("a device that is on two pages is one line, with what was read last", () => {
    const rows = ["a", "b", "a"].map((deviceId, index) => deviceRow(create(DeviceSchema, { deviceId, deviceGroup: `g${index}` })));
    assert.deepEqual(
      eachOnce(rows).map(({ id, group }) => [id, group]),
      [
        ["a", "g2"],
        ["b", "g1"],
      ],
    );
  });

  it("names of a device cannot move or hide what stands beside them", () => {
    const { id, name, trouble, version } = deviceRow(
      create(DeviceSchema, { deviceId: "a\u202eb", summary: { workerVersion: "1\u200f", problems: ["\u2066x"] } }),
    );
    assert.deepEqual([id, name, trouble, version], ["a\u202eb", "a\\u202eb", "\\u2066x", "1\\u200f"]);
  });
});

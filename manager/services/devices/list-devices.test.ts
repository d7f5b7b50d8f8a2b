import { strict as assert } from "node:assert";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { encodeDevicePosition } from "../../../common/storage/page.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { ConfigStanding, ConnectionState, type DeviceFilterSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { DAY_MS, groupUser, IMAGE, NOW_MS, startDevicesRig, startFleet } from "../../testing/devices-rig.ts";

describe("lists of devices", () => {
  it("devices are listed by each filter, those that never reported included", async () => {
    await using rig = await startFleet();
    const ids = async (filter: MessageInitShape<typeof DeviceFilterSchema>) => (await rig.list(filter)).ids;
    assert.deepEqual(await ids({}), ["broken", "fine", "gone", "new", "old"]);
    assert.deepEqual(await ids({ state: TargetState.FAILED }), ["broken"]);
    assert.deepEqual(await ids({ connection: ConnectionState.OFFLINE }), ["gone"]);
    assert.deepEqual(await ids({ connection: ConnectionState.ONLINE }), ["broken", "fine", "new", "old"]);
    assert.deepEqual(await ids({ offlineLongerMs: BigInt(29 * DAY_MS) }), ["gone"]);
    assert.deepEqual(await ids({ offlineLongerMs: BigInt(31 * DAY_MS) }), []);
    assert.deepEqual(await ids({ failing: true }), ["broken", "old"]);
    assert.deepEqual(await ids({ failureCode: FailureCode.NO_SPACE }), ["broken"]);
    assert.deepEqual(await ids({ failureCode: FailureCode.EXITS }), []);
    assert.deepEqual(await ids({ notNewest: true }), ["broken", "new", "old"]);
    assert.deepEqual(await ids({ workerVersion: "0.0.9" }), ["old"]);
    assert.deepEqual(await ids({ imageId: "sha256:0123" }), ["fine"]);
    assert.deepEqual(await ids({ imageId: IMAGE }), ["fine"]);
    assert.deepEqual(await ids({ imageId: "0124" }), []);
    assert.deepEqual(await ids({ failing: true, workerVersion: "0.1.0" }), ["broken"]);
    assert.deepEqual(await ids({ standing: ConfigStanding.APPLIED }), ["fine", "gone"]);
    assert.deepEqual(await ids({ standing: ConfigStanding.WAITING }), ["new", "old"]);
    assert.deepEqual(await ids({ standing: ConfigStanding.FAILED, failureCode: FailureCode.NO_SPACE }), ["broken"]);
    assert.deepEqual(await ids({ standing: ConfigStanding.FAILED, failureCode: FailureCode.EXITS }), []);
    assert.deepEqual(await ids({ standing: ConfigStanding.OFFLINE }), []);
    assert.deepEqual(await ids({ problem: "engine_unreachable" }), ["old"]);
    assert.deepEqual(await ids({ problem: "engine" }), []);
  });

  it("a filtered list has pages, by group and id, of the groups that the caller may read", async () => {
    await using rig = await startDevicesRig();
    for (const number of [1, 2, 3])
      for (const deviceGroup of ["offices", "shops", "tills"]) await rig.put(`${deviceGroup}-${number}`, { deviceGroup });
    for (const limit of [1, 2, 3, 4, 100]) {
      const all: string[] = [];
      let after = "";
      do {
        const page = await rig.list({ workerVersion: "0.1.0" }, { deviceGroup: "", limit, after, by: groupUser({ offices: "ro", tills: "rw" }) });
        assert.ok(page.ids.length <= limit);
        all.push(...page.ids);
        after = page.next;
      } while (after !== "");
      assert.deepEqual(all, ["offices-1", "offices-2", "offices-3", "tills-1", "tills-2", "tills-3"]);
    }
    const foreign = encodeDevicePosition({ deviceGroup: "shops", deviceId: "" });
    assert.deepEqual((await rig.list({}, { deviceGroup: "", after: foreign, by: groupUser({ offices: "ro" }) })).ids, []);
  });

  it("a list with summaries alone reads no report, and one without has each device's", async () => {
    await using rig = await startFleet();
    const { devices: short } = await rig.list({ failing: true });
    const { devices: long } = await rig.list({ failing: true }, { summariesOnly: false });
    assert.deepEqual(
      short.map(({ report, summary, connection }) => [report, summary?.state, connection?.state, connection?.shard]),
      [
        [undefined, TargetState.FAILED, ConnectionState.ONLINE, "m-1"],
        [undefined, TargetState.APPLIED, ConnectionState.ONLINE, "m-1"],
      ],
    );
    assert.deepEqual(
      long.map(({ report, summary }) => [report?.state, summary?.state]),
      [
        [TargetState.FAILED, TargetState.FAILED],
        [TargetState.APPLIED, TargetState.APPLIED],
      ],
    );
  });

  it("a device that moves is listed and counted once in all groups together: in the one that it reported from last", async () => {
    await using rig = await startDevicesRig();
    await rig.put("mover", { deviceGroup: "offices" });
    await rig.presence("mover", undefined, "shops");
    await rig.presence("new", undefined, "shops");
    const numbers = async () => (await rig.count()).map(({ deviceGroup, devices, unknown }) => `${deviceGroup} ${devices} ${unknown}`);
    assert.deepEqual(await numbers(), ["offices 1 0", "shops 1 1"]);
    assert.deepEqual((await rig.list({}, { deviceGroup: "" })).ids, ["mover", "new"]);
    assert.equal((await rig.count({ deviceGroup: "shops" }))[0]?.devices, 1n, "as it is listed");
    await rig.put("mover");
    await eventually(async () => assert.deepEqual(await numbers(), ["shops 2 1"]));
  });

  it("a device that never reported is listed and counted though its group does not exist and nothing reported from it", async () => {
    await using rig = await startDevicesRig();
    await rig.put("reports");
    await rig.presence("lost", undefined, "undefined-group");
    await rig.presence("left", NOW_MS - DAY_MS, "a-group");
    assert.deepEqual((await rig.list({}, { deviceGroup: "" })).ids, ["left", "reports", "lost"]);
    assert.deepEqual(
      (await rig.list({}, { deviceGroup: "" })).devices.map(({ deviceGroup }) => deviceGroup),
      ["a-group", "shops", "undefined-group"],
    );
    assert.deepEqual((await rig.list({}, { deviceGroup: "", by: groupUser({ "undefined-group": "ro" }) })).ids, ["lost"]);
    assert.deepEqual(
      (await rig.count()).map(({ deviceGroup, devices }) => `${deviceGroup} ${devices}`),
      ["a-group 1", "shops 1", "undefined-group 1"],
    );
  });
});

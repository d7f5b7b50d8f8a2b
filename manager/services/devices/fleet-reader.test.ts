import { strict as assert } from "node:assert";
import { groupUser, startDevicesRig } from "../../testing/devices-rig.ts";

describe("the device_groups that calls about many devices read", () => {
  it("calls about all groups read no group that the caller may not read, and lists and deletions read the names alone of those that it may", async () => {
    await using rig = await startDevicesRig();
    const groups = ["offices", "shop", "shop-1", "shop-2", "shop-20", "shop.x", "tills"];
    for (const name of groups) await rig.createGroup(name);
    for (const deviceGroup of [...groups, "shop-3", "unwanted"]) await rig.put(`in-${deviceGroup}`, { deviceGroup });
    const by = groupUser({ "shop-*": "ro", "shop-2*": "rw", tills: "rw", nowhere: "ro" });
    const readable = ["shop-1", "shop-2", "shop-20", "shop-3", "tills"];
    rig.bodiesRead.clear();
    assert.deepEqual(
      (await rig.list({}, { deviceGroup: "", by })).ids,
      readable.map((name) => `in-${name}`),
    );
    assert.equal((await rig.delete({ offlineLongerMs: 1n, dryRun: true }, by)).remaining, 0n);
    assert.deepEqual([...rig.bodiesRead], []);
    assert.deepEqual(
      (await rig.count({}, by)).map(({ deviceGroup }) => deviceGroup),
      readable,
    );
    assert.deepEqual(
      [...rig.bodiesRead],
      readable.filter((name) => name !== "shop-3"),
    );
  });
});

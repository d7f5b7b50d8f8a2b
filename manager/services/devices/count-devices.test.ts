import { strict as assert } from "node:assert";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { ConfigStanding } from "../../../gen/nebula/v1/device_pb.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { admin, groupUser, NOW_MS, startDevicesRig, startFleet } from "../../testing/devices-rig.ts";
import { putTestDevices } from "../../testing/test-access.ts";

describe("counts of devices", () => {
  it("devices are counted by state, connection, code, problem and version, and those that never came", async () => {
    await using rig = await startFleet();
    await putTestDevices(rig.accessStore, 3, "shops");
    const [counts, ...more] = await rig.count({ deviceGroup: "shops", enrolled: true });
    assert.equal(more.length, 0);
    const { devices, applied, working, failed, unknown, online, offline, notNewest, neverCame } = counts ?? assert.fail();
    assert.deepEqual([devices, applied, working, failed, unknown], [5n, 3n, 0n, 1n, 1n]);
    assert.deepEqual([online, offline, notNewest, neverCame], [4n, 1n, 3n, 3n]);
    assert.deepEqual(
      counts?.failureCodes.map(({ failureCode, devices: of }) => [failureCode, of]),
      [[FailureCode.NO_SPACE, 1n]],
    );
    assert.deepEqual(
      counts?.problems.map(({ code, devices: of }) => [code, of]),
      [["engine_unreachable", 1n]],
    );
    assert.deepEqual(
      counts?.workerVersions.map(({ workerVersion, devices: of }) => [workerVersion, of]),
      [
        ["0.1.0", 3n],
        ["0.0.9", 1n],
      ],
    );
    assert.equal(counts?.newestReceivedAtMs, BigInt(NOW_MS));
    assert.equal((await rig.count({ deviceGroup: "shops" }))[0]?.neverCame, undefined);
    await rig.put("d1");
    await eventually(async () => assert.equal((await rig.count({ deviceGroup: "shops", enrolled: true }))[0]?.neverCame, 2n));
  });

  it("devices that match a filter are counted alone, and none that never came", async () => {
    await using rig = await startFleet();
    await putTestDevices(rig.accessStore, 3, "shops");
    const [counts] = await rig.count({ deviceGroup: "shops", enrolled: true, filter: { standing: ConfigStanding.WAITING } });
    const { devices, applied, unknown, neverCame } = counts ?? assert.fail();
    assert.deepEqual([devices, applied, unknown, neverCame], [2n, 1n, 1n, 0n]);
    assert.equal((await rig.count({ deviceGroup: "shops", filter: { standing: ConfigStanding.OFFLINE } }))[0]?.devices, 0n);
  });

  it("counts have a page for each 100 groups, of those that exist or have devices and that the caller may read", async () => {
    await using rig = await startDevicesRig();
    for (const deviceGroup of ["offices", "tills"]) await rig.put(`${deviceGroup}-1`, { deviceGroup });
    const names = async (by: Principal) => (await rig.count({}, by)).map(({ deviceGroup, devices }) => `${deviceGroup} ${devices}`);
    assert.deepEqual(await names(admin), ["offices 1", "shops 0", "tills 1"]);
    assert.deepEqual(await names(groupUser({ tills: "ro" })), ["tills 1"]);
    await assert.rejects(rig.count({ deviceGroup: "shops" }, groupUser({ tills: "ro" })), (error) => isNebulaError(error, "permission_denied"));
    const first = await rig.countPage({ pageSize: 2 });
    const second = await rig.countPage({ pageSize: 2, pageToken: first.nextPageToken ?? "" });
    assert.deepEqual(
      [first, second].map((page) => [page.deviceGroups?.map(({ deviceGroup }) => deviceGroup), page.nextPageToken]),
      [
        [["offices", "shops"], "shops"],
        [["tills"], ""],
      ],
    );
  });
});

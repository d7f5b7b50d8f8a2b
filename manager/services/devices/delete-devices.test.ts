import { strict as assert } from "node:assert";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { DAY_MS, groupUser, NOW_MS, startFleet } from "../../testing/devices-rig.ts";

describe("deletions of devices", () => {
  it("devices that are offline for long are counted, then forgotten, and nothing else", async () => {
    await using rig = await startFleet();
    const request = { offlineLongerMs: BigInt(29 * DAY_MS) };
    const dry = await rig.delete({ ...request, dryRun: true });
    assert.deepEqual(dry, { deleted: 0n, remaining: 1n, deviceGroups: [{ deviceGroup: "shops", devices: 1n }] });
    assert.deepEqual([(await rig.list({})).ids.length, rig.changes.length], [5, 0]);
    assert.deepEqual(await rig.delete(request), { deleted: 1n, remaining: 0n, deviceGroups: [{ deviceGroup: "shops", devices: 1n }] });
    assert.deepEqual(
      rig.changes.map(({ kind, name, detail }) => [kind, name, detail]),
      [["device_group", "shops", "devices forgotten: gone"]],
    );
    assert.equal(await rig.reportStore.getDevice("gone"), undefined);
    await eventually(async () => assert.deepEqual((await rig.list({})).ids, ["broken", "fine", "new", "old"]));
    assert.equal((await rig.delete(request)).deleted, 0n);
  });

  it("a device that came back in the meantime keeps what it reported, and does not count as forgotten", async () => {
    await using rig = await startFleet();
    await rig.put("gone-2", {}, NOW_MS - 50 * DAY_MS);
    using _view = await rig.groupViews.open("shops", new AbortController().signal); // its reader keeps the deletion from a read of its own
    await rig.presence("gone"); // no shard announced it yet
    const answer = await rig.delete({ offlineLongerMs: BigInt(29 * DAY_MS) });
    assert.deepEqual([answer.deleted, answer.remaining], [1n, 0n]);
    assert.deepEqual(
      rig.changes.map(({ detail }) => detail),
      ["devices forgotten: gone-2"],
    );
    assert.ok(await rig.reportStore.getDevice("gone"));
  });

  it("a deletion of online devices is refused without force, and one without rw on each group, with nothing changed", async () => {
    await using rig = await startFleet();
    await rig.put("office-1", { deviceGroup: "offices" }, NOW_MS - 50 * DAY_MS);
    await assert.rejects(
      rig.delete({ deviceGroup: "shops" }),
      (error) => isNebulaError(error, "failed_precondition") && /^4 of these/.test(error.message),
    );
    const denied = (error: unknown) => isNebulaError(error, "permission_denied");
    await assert.rejects(rig.delete({ deviceGroup: "shops", force: true }, groupUser({ shops: "ro" })), denied);
    await assert.rejects(rig.delete({ offlineLongerMs: BigInt(20 * DAY_MS) }, groupUser({ shops: "rw", offices: "ro" })), denied);
    assert.deepEqual([(await rig.list({})).ids.length, rig.changes.length], [5, 0]);
    assert.equal((await rig.delete({ offlineLongerMs: BigInt(20 * DAY_MS), dryRun: true }, groupUser({ shops: "rw" }))).remaining, 1n);
    assert.equal(
      (await rig.delete({ deviceGroup: "shops", force: true })).deleted,
      4n,
      "one that is connected and never reported has nothing to forget",
    );
    assert.equal(await rig.reportStore.getDevice("fine"), undefined);
  });
});

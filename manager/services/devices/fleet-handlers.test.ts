import { strict as assert } from "node:assert";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { startDevicesRig } from "../../testing/devices-rig.ts";

describe("refusals of calls about many devices", () => {
  it("a group that does not exist and has no devices is not found by lists, counts, watches and deletions", async () => {
    await using rig = await startDevicesRig();
    await rig.put("device-1", { deviceGroup: "undefined-group" });
    const missing = (error: unknown) => isNebulaError(error, "not_found") && error.message.includes('"nowhere"');
    await assert.rejects(rig.list({}, { deviceGroup: "nowhere" }), missing);
    await assert.rejects(rig.count({ deviceGroup: "nowhere" }), missing);
    await assert.rejects(rig.watch({ deviceGroups: ["nowhere"] }).next(), missing);
    await assert.rejects(rig.delete({ deviceGroup: "nowhere" }), missing);
    assert.deepEqual((await rig.list({}, { deviceGroup: "shops" })).ids, [], "it exists, and has no devices");
    assert.deepEqual((await rig.list({}, { deviceGroup: "undefined-group" })).ids, ["device-1"], "it has devices");
  });

  it("requests that no device can match are refused, each with the field", async () => {
    await using rig = await startDevicesRig();
    const refuses = (field: string) => (error: unknown) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === field;
    await assert.rejects(rig.count({ pageSize: 101 }), refuses("page_size"));
    await assert.rejects(rig.count({ deviceGroup: "a/b" }), refuses("device_group"));
    await assert.rejects(rig.count({ pageToken: "?" }), refuses("page_token"));
    await assert.rejects(rig.count({ filter: { imageId: "xyz" } }), refuses("filter.image_id"));
    await assert.rejects(rig.delete({}), refuses("offline_longer_ms"));
    await assert.rejects(rig.watch({}).next(), refuses("device_groups"));
    await assert.rejects(rig.watch({ deviceGroups: Array.from({ length: 21 }, (_, index) => `g${index}`) }).next(), refuses("device_groups"));
    for (const [filter, field] of [
      [{ imageId: "xyz" }, "filter.image_id"],
      [{ imageId: "012" }, "filter.image_id"],
      [{ workerVersion: "1".repeat(65) }, "filter.worker_version"],
      [{ offlineLongerMs: 2n ** 63n }, "filter.offline_longer_ms"],
      [{ problem: "p".repeat(257) }, "filter.problem"],
    ] as const) {
      await assert.rejects(rig.watch({ deviceGroups: ["shops"], filter }).next(), refuses(field));
    }
  });
});

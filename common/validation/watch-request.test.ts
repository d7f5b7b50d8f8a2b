import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { validateWatchRequest } from "./watch-request.ts";

const DEVICE = { deviceGroup: "shops", deviceId: "d-1", boot: "b_1", keepaliveMs: 300_000, etag: "x".repeat(22) };

function wrongFields(init: Partial<typeof DEVICE>): string[] {
  return validateWatchRequest(create(WatchConfigRequestSchema, { ...DEVICE, ...init })).map(({ field }) => field);
}

describe("watch request", () => {
  it("is a device's, or nobody's", () => {
    for (const valid of [{}, { deviceId: "", boot: "" }, { keepaliveMs: 0 }, { keepaliveMs: 10_000 }, { keepaliveMs: 1_800_000 }, { etag: "" }]) {
      assert.deepEqual(wrongFields(valid), []);
    }
  });

  it("with something wrong in it is refused by that field", () => {
    assert.deepEqual(wrongFields({ deviceGroup: "" }), ["device_group"]);
    assert.deepEqual(wrongFields({ deviceGroup: "a/b", keepaliveMs: 9_999 }), ["device_group", "keepalive_ms"]);
    assert.deepEqual(wrongFields({ keepaliveMs: 1_800_001 }), ["keepalive_ms"]);
    assert.deepEqual(wrongFields({ deviceId: "no device!" }), ["device_id"]);
    assert.deepEqual(wrongFields({ boot: "" }), ["boot"]);
    assert.deepEqual(wrongFields({ boot: "x".repeat(65) }), ["boot"]);
    assert.deepEqual(wrongFields({ etag: "x".repeat(65) }), ["etag"]);
  });
});

import { strict as assert } from "node:assert";
import type { UnknownEnum } from "@bufbuild/protobuf";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import { pageOf, validateStatusFilter } from "./list-request.ts";

describe("a page", () => {
  it("a page is the first 100 by default", () => assert.deepEqual(pageOf({ pageSize: 0, pageToken: "" }), { limit: 100 }));
  it("a page is at most 1000, after the token given", () =>
    assert.deepEqual(pageOf({ pageSize: 1000, pageToken: "x" }), { limit: 1000, after: "x" }));
  it("a page above that, and one with a token that was never given, are refused", () => {
    assert.throws(
      () => pageOf({ pageSize: 1001, pageToken: "x".repeat(1025) }),
      (error) => isNebulaError(error, "invalid_argument") && error.violations.map(({ field }) => field).join() === "page_size,page_token",
    );
  });
});

const newer = 9 as UnknownEnum; // a brand

describe("the filter of devices and reports", () => {
  it("a filter is any state and name that a device may have, or absent", () => {
    assert.deepEqual(validateStatusFilter({ deviceId: "", deviceGroup: "", state: TargetState.UNSPECIFIED }), []);
    assert.deepEqual(validateStatusFilter({ deviceId: "pos-0031", deviceGroup: "pos", state: TargetState.FAILED }), []);
  });

  it("a filter that no device can ever match is refused", () => {
    const violations = validateStatusFilter({ deviceId: "a b", deviceGroup: "pos/1", state: newer });
    assert.deepEqual(
      violations.map(({ field }) => field),
      ["device_id", "device_group", "state"],
    );
    assert.match(violations[2]?.description ?? "", /invalid state "9"; use TARGET_STATE_APPLIED, /);
  });
});

import { strict as assert } from "node:assert";
import type { UnknownEnum } from "@bufbuild/protobuf";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { validateStatusFilter } from "./status-filter.ts";

const newer = 9 as UnknownEnum; // a brand

describe("the filter of devices and reports", () => {
  it("is whatever a device may be, or nothing", () => {
    assert.deepEqual(validateStatusFilter({ deviceId: "", deviceGroup: "", state: TargetState.UNSPECIFIED }), []);
    assert.deepEqual(validateStatusFilter({ deviceId: "pos-0031", deviceGroup: "pos", state: TargetState.FAILED }), []);
  });

  it("is refused where no device can ever match it", () => {
    const violations = validateStatusFilter({ deviceId: "a b", deviceGroup: "pos/1", state: newer });
    assert.deepEqual(
      violations.map(({ field }) => field),
      ["device_id", "device_group", "state"],
    );
    assert.match(violations[2]?.description ?? "", /9 is no state; TARGET_STATE_APPLIED, /);
  });
});

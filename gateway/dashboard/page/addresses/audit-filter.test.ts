import { strict as assert } from "node:assert";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AuditFilter, auditAddress, auditCommand, auditFilterOf, auditRequest, timeFault } from "./audit-filter.ts";

const NOW = Date.parse("2026-02-01T00:00:00Z");
const WHOLE: AuditFilter = {
  user: "device/till 7",
  kind: "app",
  name: "<b>&\u202e",
  outcome: "NOT_FOUND",
  since: "2h",
  until: "2026-01-31T23:00:00Z",
};

describe("the filter of the audit log", () => {
  it("a filter comes back from its address, with any characters in it; other words of an address are left out", () => {
    const { search } = new URL(auditAddress(WHOLE), "http://localhost");
    assert.deepEqual(auditFilterOf(new URLSearchParams(search)), WHOLE);
    assert.equal(auditAddress(auditFilterOf(new URLSearchParams("page=7&user="))), "/ui/audit");
  });

  it("a filter is a request and a line of nebulactl for the same entries", () => {
    assert.deepEqual(auditRequest(WHOLE, NOW), {
      ...{ who: "device/till 7", kind: "app", name: "<b>&\u202e", outcome: "NOT_FOUND" },
      fromTime: timestampFromMs(NOW - 7_200_000),
      untilTime: timestampFromMs(NOW - 3_600_000),
    });
    assert.deepEqual(auditRequest({}, NOW), { who: "", kind: "", name: "", outcome: "" });
    const line =
      "nebulactl audit list --user 'device/till 7' --kind app --name '<b>&\u202e' --outcome NOT_FOUND --since 2h --until 2026-01-31T23:00:00Z";
    assert.equal(auditCommand(WHOLE), line);
  });

  it("a time that is neither a duration nor a time is a fault, in the words of nebulactl", () => {
    assert.equal(timeFault(WHOLE, NOW), undefined);
    const forms = "use a duration such as 30m or 2h, or a time such as 2026-01-31T12:00:00Z";
    assert.equal(timeFault({ since: "yesterday" }, NOW), `invalid since "yesterday": ${forms}`);
    assert.equal(timeFault({ since: "1h", until: "7" }, NOW), `invalid until "7": ${forms}`);
  });
});

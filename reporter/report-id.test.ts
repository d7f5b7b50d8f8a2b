import { strict as assert } from "node:assert";
import fc from "fast-check";
import { SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import { reportId } from "./report-id.ts";

describe("report id", () => {
  it("is 24 hexadecimal digits and begins with the seconds at which the report was received", () => {
    const id = reportId(sampleReport());
    assert.match(id, /^[0-9a-f]{24}$/);
    assert.equal(Number.parseInt(id.slice(0, 8), 16), SAMPLE_TIME_MS / 1000);
  });

  it("is made of the record alone", () => {
    assert.equal(reportId(sampleReport()), reportId(sampleReport()));
    assert.equal(reportId(sampleReport()), reportId(sampleReport({ etag: "another" })));
  });

  it("tells devices, boots and numbers apart, whatever their names run together to", () => {
    const part = fc.stringMatching(/^[a-z0-9.,"-]{1,4}$/);
    const identity = fc.record({ deviceId: part, boot: part, seq: fc.bigInt(1n, 20n) });
    fc.assert(
      fc.property(identity, identity, (a, b) => {
        const same = a.deviceId === b.deviceId && a.boot === b.boot && a.seq === b.seq;
        assert.equal(reportId(sampleReport(a)) === reportId(sampleReport(b)), same);
      }),
    );
  });

  it("rises with received_at", () => {
    const times = fc.integer({ min: 0, max: 2 ** 32 - 2 });
    fc.assert(
      fc.property(times, (seconds) => {
        const earlier = sampleReport({ receivedMs: seconds * 1000 });
        const later = sampleReport({ receivedMs: (seconds + 1) * 1000 });
        assert.ok(reportId(earlier) < reportId(later));
      }),
    );
  });
});

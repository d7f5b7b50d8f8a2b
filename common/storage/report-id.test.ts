import { strict as assert } from "node:assert";
import fc from "fast-check";
import { SAMPLE_TIME_MS, sampleReport } from "../testing/sample-report.ts";
import { firstReportIdAt, isReportId, lastReportIdBefore, reportId, reportIdMs } from "./report-id.ts";

const anyMs = fc.integer({ min: 1, max: 2 ** 32 * 1000 - 2 });

describe("report id", () => {
  it("a report id is 24 hexadecimal digits and begins with the seconds and milliseconds at which the report was received", () => {
    const id = reportId(sampleReport({ receivedMs: SAMPLE_TIME_MS + 789 }));
    assert.match(id, /^[0-9a-f]{24}$/);
    assert.equal(Number.parseInt(id.slice(0, 8), 16), SAMPLE_TIME_MS / 1000);
    assert.equal(Number.parseInt(id.slice(8, 12), 16), 789);
  });

  it("a report id is made of the record alone", () => {
    assert.equal(reportId(sampleReport()), reportId(sampleReport()));
    assert.equal(reportId(sampleReport()), reportId(sampleReport({ etag: "another" })));
  });

  it("report ids tell devices, boots and numbers apart, also where their names run together", () => {
    const part = fc.stringMatching(/^[a-z0-9.,"-]{1,4}$/);
    const identity = fc.record({ deviceId: part, boot: part, seq: fc.bigInt(1n, 20n) });
    fc.assert(
      fc.property(identity, identity, (a, b) => {
        const same = a.deviceId === b.deviceId && a.boot === b.boot && a.seq === b.seq;
        assert.equal(reportId(sampleReport(a)) === reportId(sampleReport(b)), same);
      }),
    );
  });

  it("report ids rise with each millisecond of received_at", () => {
    fc.assert(
      fc.property(anyMs, (ms) => {
        assert.ok(reportId(sampleReport({ receivedMs: ms })) < reportId(sampleReport({ receivedMs: ms + 1 })));
      }),
    );
  });

  it("a report id lies between the first id of its millisecond and the last id before the next one", () => {
    fc.assert(
      fc.property(anyMs, (ms) => {
        const id = reportId(sampleReport({ receivedMs: ms }));
        assert.equal(reportIdMs(id), ms);
        assert.ok(firstReportIdAt(ms) <= id && id <= lastReportIdBefore(ms + 1) && lastReportIdBefore(ms + 1) < firstReportIdAt(ms + 1));
        assert.ok(lastReportIdBefore(ms) < firstReportIdAt(ms));
      }),
    );
  });

  it("times that no id can hold have a first and a last id", () => {
    assert.equal(firstReportIdAt(-5), "0".repeat(24));
    assert.equal(firstReportIdAt(Number.MAX_SAFE_INTEGER), `ffffffff03e7${"0".repeat(12)}`);
  });

  it("a report id is distinguished from page tokens of other lists", () => {
    assert.equal(isReportId(firstReportIdAt(SAMPLE_TIME_MS)), true);
    for (const other of ["", "x", "A".repeat(24), `${"0".repeat(24)}=`, "0".repeat(23)]) assert.equal(isReportId(other), false, other);
  });
});

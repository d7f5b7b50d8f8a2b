import { strict as assert } from "node:assert";
import { create, toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type Report, ReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import { sampleReport } from "../testing/sample-report.ts";
import { deviceIdViolations, timestampViolations, validateReport } from "./report.ts";

function fieldsOf(report: Report): string[] {
  return validateReport(report, "report").map((violation) => violation.field);
}

describe("validation of a report", () => {
  it("finds nothing wrong with what a worker sends", () => {
    assert.deepEqual(validateReport(sampleReport(), "report"), []);
  });

  it("names every field that is wrong", () => {
    assert.deepEqual(fieldsOf(create(ReportSchema)), ["report.device_id", "report.device_group", "report.boot", "report.seq"]);
    assert.deepEqual(fieldsOf(sampleReport({ deviceId: "a b", boot: "x".repeat(65) })), ["report.device_id", "report.boot"]);
    assert.deepEqual(fieldsOf(sampleReport({ receivedAt: { seconds: 2n ** 32n } })), ["report.received_at"]);
  });

  it("takes a device id made of the longest host name, and none of other characters", () => {
    assert.deepEqual(deviceIdViolations(`${"h".repeat(64)}-0a1b2c`, "device_id"), []);
    for (const bad of ["", "-a", ".a", "a/b", "a\nb", "ä", "a".repeat(129)]) assert.equal(deviceIdViolations(bad, "device_id").length, 1, bad);
  });

  it("refuses a time that JSON can't say, and no other", () => {
    const seconds = fc.oneof(
      fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      fc.bigInt(-62_135_596_802n, -62_135_596_798n),
      fc.bigInt(253_402_300_797n, 253_402_300_801n),
    );
    const nanos = fc.oneof(fc.integer({ min: -2, max: 2 }), fc.integer({ min: 999_999_998, max: 1_000_000_001 }), fc.integer());
    fc.assert(
      fc.property(seconds, nanos, (s, n) => {
        const time = create(TimestampSchema, { seconds: s, nanos: n });
        const sayable = n >= 0 && n <= 999_999_999 && saysJson(() => toJson(TimestampSchema, time));
        assert.equal(timestampViolations(time, "at").length === 0, sayable);
      }),
    );
  });

  it("looks at every time in it", () => {
    const bad = { seconds: 2n ** 62n };
    const container = { startedAt: bad };
    const report = sampleReport({
      createdAt: bad,
      startedAt: bad,
      apps: [{ name: "a" }, { name: "b", retryAt: bad, containers: [{}, container] }],
      cronJobs: [{ name: "c", lastRunDue: bad, nextRunDue: bad, containers: [container] }],
    });
    assert.deepEqual(fieldsOf(report), [
      "report.created_at",
      "report.started_at",
      "report.apps[1].retry_at",
      "report.apps[1].containers[1].started_at",
      "report.cron_jobs[0].last_run_due",
      "report.cron_jobs[0].next_run_due",
      "report.cron_jobs[0].containers[0].started_at",
    ]);
  });
});

function saysJson(say: () => unknown): boolean {
  try {
    say();
    return true;
  } catch {
    return false;
  }
}

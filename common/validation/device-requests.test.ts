import { strict as assert } from "node:assert";
import { create, toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { type Report, ReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import { sampleReport } from "../testing/sample-report.ts";
import { timestampViolations, validateReport, validateWatchRequest } from "./device-requests.ts";
import { deviceIdViolations } from "./names.ts";

function fieldsOf(report: Report): string[] {
  return validateReport(report, "report").map((violation) => violation.field);
}

describe("validation of a report", () => {
  it("a report of a worker is valid", () => {
    assert.deepEqual(validateReport(sampleReport(), "report"), []);
  });

  it("an invalid report is refused with every field that is wrong", () => {
    assert.deepEqual(fieldsOf(create(ReportSchema)), ["report.device_id", "report.device_group", "report.boot", "report.seq"]);
    assert.deepEqual(fieldsOf(sampleReport({ deviceId: "a b", boot: "x".repeat(65) })), ["report.device_id", "report.boot"]);
    assert.deepEqual(fieldsOf(sampleReport({ receivedAt: { seconds: 2n ** 32n } })), ["report.received_at"]);
  });

  it("a report may have a device id made of the longest host name, and none of other characters", () => {
    assert.deepEqual(deviceIdViolations(`${"h".repeat(64)}-0a1b2c`, "device_id"), []);
    for (const bad of ["", "-a", ".a", "a/b", "a\nb", "ä", "a".repeat(129)]) assert.equal(deviceIdViolations(bad, "device_id").length, 1, bad);
  });

  it("a report with a time that JSON cannot express is refused, and no other time", () => {
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

  it("every time in a report is checked", () => {
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

const DEVICE = { deviceGroup: "shops", deviceId: "d-1", boot: "b_1", keepaliveMs: 300_000, etag: "x".repeat(22) };

function wrongFields(init: Partial<typeof DEVICE> & { workerVersion?: string; features?: string[] }): string[] {
  return validateWatchRequest(create(WatchConfigRequestSchema, { ...DEVICE, ...init })).map(({ field }) => field);
}

describe("watch request", () => {
  it("a watch request names a device, or none", () => {
    for (const valid of [{}, { deviceId: "", boot: "" }, { keepaliveMs: 0 }, { keepaliveMs: 10_000 }, { keepaliveMs: 1_800_000 }, { etag: "" }]) {
      assert.deepEqual(wrongFields(valid), []);
    }
  });

  it("a watch request with an invalid field is refused by that field", () => {
    assert.deepEqual(wrongFields({ deviceGroup: "" }), ["device_group"]);
    assert.deepEqual(wrongFields({ deviceGroup: "a/b", keepaliveMs: 9_999 }), ["device_group", "keepalive_ms"]);
    assert.deepEqual(wrongFields({ keepaliveMs: 1_800_001 }), ["keepalive_ms"]);
    assert.deepEqual(wrongFields({ deviceId: "no device!" }), ["device_id"]);
    assert.deepEqual(wrongFields({ boot: "" }), ["boot"]);
    assert.deepEqual(wrongFields({ boot: "x".repeat(65) }), ["boot"]);
    assert.deepEqual(wrongFields({ etag: "x".repeat(65) }), ["etag"]);
  });

  it("a watch request names a version and features of bounded length and number, also those that this release does not know", () => {
    assert.deepEqual(wrongFields({ workerVersion: "x".repeat(64), features: ["assigned", "later_2.x", "f".repeat(63)] }), []);
    assert.deepEqual(wrongFields({ features: Array.from({ length: 64 }, (_, number) => `f${number}`) }), []);
    assert.deepEqual(wrongFields({ workerVersion: "x".repeat(65) }), ["worker_version"]);
    assert.deepEqual(wrongFields({ features: Array.from({ length: 65 }, (_, number) => `f${number}`) }), ["features"]);
    for (const bad of ["", "A", "-a", "a b", "a\n", "f".repeat(64)]) assert.deepEqual(wrongFields({ features: ["fine", bad] }), ["features[1]"], bad);
  });
});

import { strict as assert } from "node:assert";
import { create, equals, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { receivedMs } from "../common/storage/report-id.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import { BusRecordSchema, ReportSchema } from "../gen/nebula/v1/report_pb.ts";
import { parseRecord } from "./parse-record.ts";
import { encodedOriginalReport } from "./testing/original-report.ts";

function message(value: Uint8Array) {
  return { key: "device-1", value, timestampMs: SAMPLE_TIME_MS };
}

function encoded(report: MessageInitShape<typeof ReportSchema>) {
  return message(toBinary(BusRecordSchema, create(BusRecordSchema, { record: { case: "report", value: report } })));
}

describe("reading a record of the bus", () => {
  it("a record is read as its report", () => {
    const report = sampleReport({ receivedMs: SAMPLE_TIME_MS - 5000 });
    const parsed = parseRecord(encoded(report));
    assert.ok(parsed.kind === "report" && equals(ReportSchema, parsed.report, report));
  });

  it("a record has the bus's time where no shard set one", () => {
    const parsed = parseRecord(encoded(sampleReport({ receivedAt: undefined })));
    assert.deepEqual(parsed.kind === "report" && parsed.report.receivedAt, timestampFromMs(SAMPLE_TIME_MS));
  });

  it("a record has the bus's time where it differs from the shard's by over 5 minutes, either way", () => {
    const receivedAt = (offsetMs: number) => {
      const parsed = parseRecord(encoded(sampleReport({ receivedMs: SAMPLE_TIME_MS + offsetMs })));
      return parsed.kind === "report" && receivedMs(parsed.report.receivedAt) - SAMPLE_TIME_MS;
    };
    assert.deepEqual([-300_001, -300_000, 300_000, 300_001].map(receivedAt), [0, -300_000, 300_000, 0]);
  });

  it("a record with an invalid report is refused with the wrong field", () => {
    const parsed = parseRecord(encoded(sampleReport({ seq: 0n })));
    assert.match(parsed.kind === "unreadable" ? parsed.reason : "", /report\.seq/);
  });

  it("a record in the JSON of a worker of the original is its report, received when the bus took it", () => {
    const parsed = parseRecord(message(encodedOriginalReport()));
    assert.ok(parsed.kind === "report" && parsed.original?.updated);
    assert.equal(parsed.report.deviceId, "pos-0042");
    assert.deepEqual(parsed.report.receivedAt, timestampFromMs(SAMPLE_TIME_MS));
  });

  it("a record of other JSON, of an unknown kind, or without content is put aside", () => {
    const json = new TextEncoder().encode('{"hostname": "old"}');
    const otherField = Uint8Array.from([0x7a, 0x00]);
    for (const value of [json, otherField, new Uint8Array()]) assert.equal(parseRecord(message(value)).kind, "unreadable");
  });

  it("a record of any bytes is answered", () => {
    const good = encoded(sampleReport()).value;
    const damaged = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => good.with(at, byte));
    const cut = fc.nat(good.length).map((length) => good.slice(0, length));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), damaged, cut), (value) => {
        const parsed = parseRecord(message(value));
        assert.ok(parsed.kind === "unreadable" || parsed.report.receivedAt !== undefined);
      }),
      { numRuns: 1000 },
    );
  });
});

import { strict as assert } from "node:assert";
import { create, equals, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
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
  it("answers the report in it", () => {
    const report = sampleReport({ receivedMs: SAMPLE_TIME_MS - 5000 });
    const parsed = parseRecord(encoded(report));
    assert.ok(parsed.kind === "report" && equals(ReportSchema, parsed.report, report));
  });

  it("takes the bus's time where no shard set one", () => {
    const parsed = parseRecord(encoded(sampleReport({ receivedAt: undefined })));
    assert.deepEqual(parsed.kind === "report" && parsed.report.receivedAt, timestampFromMs(SAMPLE_TIME_MS));
  });

  it("says of a report that is not valid which field is wrong", () => {
    const parsed = parseRecord(encoded(sampleReport({ seq: 0n })));
    assert.match(parsed.kind === "unreadable" ? parsed.reason : "", /report\.seq/);
  });

  it("answers the report in the JSON of a worker of the original, received when the bus took it", () => {
    const parsed = parseRecord(message(encodedOriginalReport()));
    assert.ok(parsed.kind === "report" && parsed.original?.updated);
    assert.equal(parsed.report.deviceId, "pos-0042");
    assert.deepEqual(parsed.report.receivedAt, timestampFromMs(SAMPLE_TIME_MS));
  });

  it("puts aside other JSON, records of an unknown kind, and nothing at all", () => {
    const json = new TextEncoder().encode('{"hostname": "old"}');
    const otherField = Uint8Array.from([0x7a, 0x00]);
    for (const value of [json, otherField, new Uint8Array()]) assert.equal(parseRecord(message(value)).kind, "unreadable");
  });

  it("answers for any bytes", () => {
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

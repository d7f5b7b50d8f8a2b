import { strict as assert } from "node:assert";
import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { BusRecordSchema, type Report, ReportSchema, SubmitReportsRequestSchema } from "../../gen/nebula/v1/report_pb.ts";
import { encodedDevice, encodedReport } from "../storage/encoded-report.ts";
import { sampleReport } from "../testing/sample-report.ts";
import { encodeRecord, recordedReport, recordOf, reportsIn } from "./report-record.ts";

const RECEIVED_AT = timestampFromMs(1_800_000_000_000);

/** A report with fields that this version does not know, and perhaps a time that its device made up. */
const aReport = fc
  .record({
    seq: fc.bigInt({ min: 1n, max: 2n ** 60n }),
    boot: fc.string({ minLength: 1, maxLength: 40 }),
    receivedAt: fc.option(fc.record({ seconds: fc.bigInt({ min: 0n, max: 2n ** 40n }), nanos: fc.nat(999_999_999) }), { nil: undefined }),
  })
  .map((fields) => sampleReport(fields));

function sent(reports: readonly Report[]): Uint8Array {
  return toBinary(SubmitReportsRequestSchema, create(SubmitReportsRequestSchema, { reports: [...reports] }));
}

describe("records of reports", () => {
  it("a record made of the bytes that a device sent says the same as one that was encoded from the report", () => {
    fc.assert(
      fc.property(fc.array(aReport, { minLength: 1, maxLength: 5 }), fc.boolean(), (reports, withoutToken) => {
        const bytes = reportsIn(sent(reports));
        assert.equal(bytes.length, reports.length);
        for (const [index, report] of reports.entries()) {
          const received = create(ReportSchema, { ...report, receivedAt: RECEIVED_AT });
          const record = recordOf(bytes[index] ?? new Uint8Array(), received, RECEIVED_AT, withoutToken);
          const [found, wanted] = [record, encodeRecord(received, withoutToken)].map((each) => fromBinary(BusRecordSchema, each));
          assert.ok(found !== undefined && wanted !== undefined && equals(BusRecordSchema, found, wanted));
        }
      }),
    );
  });

  it("a record keeps the fields of a report that this version does not know", () => {
    const report = sampleReport();
    const unknown = Buffer.from([0xc2, 0x3e, 2, 0x68, 0x69]); // field 1000, a string
    const bytes = Buffer.concat([toBinary(ReportSchema, report), unknown]);
    const record = recordOf(bytes, report, RECEIVED_AT, false);
    const { record: found } = fromBinary(BusRecordSchema, record);
    assert.equal(found.value?.$unknown?.[0]?.no, 1000);
  });

  it("a record of this process is known with its report, another one of the same bytes is not", () => {
    const report = sampleReport();
    const record = recordOf(toBinary(ReportSchema, report), report, RECEIVED_AT, true);
    assert.deepEqual(recordedReport(record), { report, withoutToken: true });
    assert.equal(recordedReport(record.slice()), undefined);
  });

  it("a report that was received, and a device with it, are stored as the bytes that arrived, and read as they were", () => {
    const report = sampleReport();
    const sentBytes = toBinary(ReportSchema, report);
    recordOf(sentBytes, report, RECEIVED_AT, false);
    assert.deepEqual(Buffer.from(encodedReport(report).subarray(0, sentBytes.length)), Buffer.from(sentBytes));
    assert.ok(equals(ReportSchema, fromBinary(ReportSchema, encodedReport(report)), report));
    const device = create(DeviceSchema, { deviceId: report.deviceId, deviceGroup: "shops", report, duplicateId: true, firstSeenAt: RECEIVED_AT });
    assert.ok(equals(DeviceSchema, fromBinary(DeviceSchema, encodedDevice(device)), device));
    assert.equal(device.report, report);
    const unknown = create(DeviceSchema, { ...device, report: create(ReportSchema, { ...report }) });
    assert.ok(equals(DeviceSchema, fromBinary(DeviceSchema, encodedDevice(unknown)), device));
  });
});

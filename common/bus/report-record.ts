/**
 * Records of reports on the bus, made of the bytes that a device sent: a report is encoded once, by its worker.
 *
 * A record is a BusRecord in protobuf's wire format (https://protobuf.dev/programming-guides/encoding/). Of a field that comes twice the last one counts, and
 * fields of a message that comes twice are merged: so received_at is appended, with both of its fields, and counts for any that the device sent.
 */
import { create } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { BusRecordSchema, type Report, ReportSchema, SubmitReportsRequestSchema } from "../../gen/nebula/v1/report_pb.ts";
import { writeMessage } from "../protobuf/binary-message.ts";
import { headLength, numberLength, onlyContent, putHead, putNumber } from "../protobuf/encoded-field.ts";
import { SideNotes } from "../side-notes.ts";
import { rememberEncoded } from "../storage/encoded-report.ts";

const REPORTS = SubmitReportsRequestSchema.field.reports.number;
const [RECORD, WITHOUT_TOKEN] = [BusRecordSchema.field.report.number, BusRecordSchema.field.withoutToken.number];
const RECEIVED_AT = ReportSchema.field.receivedAt.number;
const [SECONDS, NANOS] = [TimestampSchema.field.seconds.number, TimestampSchema.field.nanos.number];

/** A report as it was put on the bus. */
export type RecordedReport = Readonly<{ report: Report; withoutToken: boolean }>;

/** The reports of this process's records, as long as these are in use: a reporter in the process that took a report does not decode it again. */
const recorded = new SideNotes<Uint8Array, RecordedReport>("recorded");

/** Returns the report of a record that this process made; undefined of any other record, also of the same bytes. */
export function recordedReport(record: Uint8Array): RecordedReport | undefined {
  return recorded.get(record);
}

/** Returns the bytes of each report in an encoded SubmitReportsRequest that can be decoded, in their order. */
export function reportsIn(request: Uint8Array): readonly Uint8Array[] {
  const only = onlyContent(request, REPORTS);
  if (only !== undefined) return [only];
  const reader = new BinaryReader(request);
  const reports: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === REPORTS && wireType === WireType.LengthDelimited) reports.push(reader.bytes());
    else reader.skip(wireType, field);
  }
  return reports;
}

/**
 * Makes the record of a report from its bytes.
 * @param report what the bytes say; it gets `receivedAt`, and the record keeps it, so it is changed no more
 */
export function recordOf(bytes: Uint8Array, report: Report, receivedAt: Timestamp, withoutToken: boolean): Uint8Array {
  report.receivedAt = receivedAt;
  const { seconds, nanos } = receivedAt;
  const received = [Math.max(0, Number(seconds)), nanos] as const; // a shard's clock before 1970 is wrong
  const timeLength = numberLength(SECONDS, received[0]) + numberLength(NANOS, received[1]);
  const length = bytes.length + headLength(RECEIVED_AT, timeLength) + timeLength;
  const record = Buffer.allocUnsafe(headLength(RECORD, length) + length + (withoutToken ? numberLength(WITHOUT_TOKEN, 1) : 0));
  const begin = putHead(record, 0, RECORD, length);
  record.set(bytes, begin);
  let at = putHead(record, begin + bytes.length, RECEIVED_AT, timeLength);
  at = putNumber(record, at, SECONDS, received[0]);
  at = putNumber(record, at, NANOS, received[1]);
  if (withoutToken) putNumber(record, at, WITHOUT_TOKEN, 1);
  recorded.set(record, { report, withoutToken });
  rememberEncoded(report, record.subarray(begin, begin + length));
  return record;
}

/** Encodes the record of a report that was not received as bytes. */
export function encodeRecord(report: Report, withoutToken: boolean): Uint8Array {
  return writeMessage(BusRecordSchema, create(BusRecordSchema, { record: { case: "report", value: report }, withoutToken }));
}

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { BusMessage } from "../common/bus/report-bus.ts";
import { recordedReport } from "../common/bus/report-record.ts";
import { messageOf } from "../common/errors/nebula-error.ts";
import { readMessage } from "../common/protobuf/binary-message.ts";
import { receivedMs } from "../common/storage/report-id.ts";
import { validateReport } from "../common/validation/device-requests.ts";
import { BusRecordSchema, type Report, ReportSchema } from "../gen/nebula/v1/report_pb.ts";
import { parseOriginalReport } from "./original/parse-original-report.ts";

export type ParsedRecord = Readonly<
  | {
      kind: "report";
      report: Report;
      /**
       * Whether the device had no token of its own; of a report of the original's worker: as far as the record says.
       */
      withoutToken: boolean;
      /** Of a report of the original's worker: what it sent, and what it says itself of a change. */
      original?: Readonly<{ json: string; updated: boolean | undefined }>;
    }
  | { kind: "unreadable"; reason: string }
>;

/** The first byte of v2's JSON; no encoded BusRecord begins with it (it would be field 15 as a group's start). */
const OPENING_BRACE = 0x7b;

/** How far a shard's time of receipt may be from the bus's, milliseconds: beyond it the shard's clock is wrong, and the bus's time counts. */
const CLOCKS_DIFFER_MS = 5 * 60_000;

/** Reads a record of the bus. Answers for any bytes; a report that it answers is valid and has `received_at`. */
export function parseRecord(message: BusMessage): ParsedRecord {
  const recorded = recordedReport(message.value);
  if (recorded !== undefined) return { kind: "report", ...recorded };
  if (message.value[0] === OPENING_BRACE) return parseJson(message);
  try {
    return parseBinary(message);
  } catch (error) {
    return { kind: "unreadable", reason: `not an encoded BusRecord: ${messageOf(error)}` };
  }
}

function parseBinary({ value, timestampMs }: BusMessage): ParsedRecord {
  const { record, withoutToken } = readMessage(BusRecordSchema, value);
  if (record.case === undefined) return { kind: "unreadable", reason: "a record of a kind that this version does not know" };
  const report = record.value;
  const [violation] = validateReport(report, "report");
  if (violation !== undefined) return { kind: "unreadable", reason: `${violation.field}: ${violation.description}` };
  const isReceived = report.receivedAt !== undefined && Math.abs(receivedMs(report.receivedAt) - timestampMs) <= CLOCKS_DIFFER_MS;
  if (isReceived) return { kind: "report", report, withoutToken };
  return { kind: "report", withoutToken, report: create(ReportSchema, { ...report, receivedAt: timestampFromMs(timestampMs) }) };
}

/** The reports that workers of the original put on the bus themselves. */
function parseJson({ value, timestampMs }: BusMessage): ParsedRecord {
  const parsed = parseOriginalReport(value, timestampMs);
  if (parsed.kind !== "report") return parsed;
  return { kind: "report", report: parsed.report, withoutToken: true, original: { json: parsed.json, updated: parsed.updated } };
}

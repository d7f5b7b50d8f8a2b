import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { BusRecordSchema, type Report, ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";

/** When sample reports are received unless they say otherwise, milliseconds since 1970. */
export const SAMPLE_TIME_MS = Date.UTC(2026, 0, 1);

/** A report as a device sends it; `receivedMs` stands for the shard. */
export function sampleReport({
  receivedMs = SAMPLE_TIME_MS,
  ...fields
}: MessageInitShape<typeof ReportSchema> & { receivedMs?: number } = {}): Report {
  return create(ReportSchema, {
    deviceId: "device-1",
    deviceGroup: "shops",
    boot: "boot-1",
    seq: 1n,
    createdAt: timestampFromMs(receivedMs),
    receivedAt: timestampFromMs(receivedMs),
    workerVersion: "0.1.0",
    instance: "main",
    etag: "etag",
    state: TargetState.APPLIED,
    groupRevision: 1n,
    apps: [
      {
        name: "web",
        revision: 3n,
        appliedRevision: 3n,
        state: TargetState.APPLIED,
        containers: [{ name: "web-1", image: "busybox:1", revision: 3n }],
      },
    ],
    ...fields,
  });
}

/** A report as a manager puts it on the bus. */
export function encodedReport(report: Report): Uint8Array {
  return toBinary(BusRecordSchema, create(BusRecordSchema, { record: { case: "report", value: report } }));
}

import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { containersCell, problemsCell, problemsOf, revisionsText, stateCell } from "../../../common/insight/text/report-text.ts";
import { type StoredReport, StoredReportSchema } from "../../../gen/nebula/v1/report_pb.ts";
import type { ListView } from "../output/print-list.ts";
import { protoJson } from "../output/proto-json.ts";

/** Reports of the history, a line each. */
export const reportList: ListView<StoredReport> = {
  plural: "reports",
  header: ["RECEIVED", "DEVICE", "GROUP", "STATE", "REVISIONS", "CONTAINERS", "WORKER", "PROBLEMS"],
  row({ report }) {
    if (report === undefined) return [];
    const { receivedAt, deviceId, deviceGroup, state, workerVersion } = report;
    return [
      timeText(receivedAt),
      deviceId,
      deviceGroup,
      stateCell(state),
      revisionsText(report),
      containersCell(report),
      workerVersion,
      problemsCell(problemsOf(report, false)),
    ];
  },
  json: (report) => protoJson(StoredReportSchema, report),
};

function timeText(time: Timestamp | undefined): string {
  return time === undefined ? "" : timestampDate(time).toISOString();
}

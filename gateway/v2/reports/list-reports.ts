import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { reportToV2 } from "../../../common/v2/report-to-v2.ts";
import type { ListReportsRequestSchema, ListReportsResponse, StoredReport } from "../../../gen/nebula/v1/report_pb.ts";
import { isAt, type ReportsQuery } from "./reports-query.ts";

/** One page of GET /reports; lastId undefined: it was the last one. */
export type ReportsPage = Readonly<{ reports: readonly JsonObject[]; lastId: string | undefined }>;

/** Reads one page of the history as a manager gives it out. */
export type ReadHistory = (
  request: MessageInitShape<typeof ListReportsRequestSchema>,
) => Promise<Pick<ListReportsResponse, "reports" | "nextPageToken">>;

/** How many reports are read at a time where some of them will not be shown. */
const READ_AT_ONCE = 500;
/** How many reports one request looks at: a filter that nothing matches would else read the whole history. The page ends there, and says where. */
const MOST_READ = 10_000;
/** What a report takes that has no original, about, characters. */
const SHOWN_AT_LEAST = 1000;
/** A page ends when it holds this much, characters. */
const PAGE_CHARACTERS = 4 * 1024 * 1024;

/** Lists the history as v2 does, oldest first. The managers know neither the time of the device's own clock nor `updated` as a filter: that is looked at here. */
export async function listReports(readHistory: ReadHistory, query: ReportsQuery): Promise<ReportsPage> {
  const { pageSize, hostname = "", deviceGroup = "", createdAt, updated } = query;
  const readAtOnce = createdAt === undefined && updated === undefined ? pageSize : READ_AT_ONCE;
  const reports: JsonObject[] = [];
  let [read, characters, pageToken] = [0, 0, ""];
  for (;;) {
    const filter = { deviceId: hostname, deviceGroup, afterId: query.lastId ?? "", pageSize: readAtOnce, pageToken };
    const page = await readHistory(filter).catch(nothingIsCalledSo);
    for (const [index, stored] of page.reports.entries()) {
      read++;
      if (isWanted(stored, query)) {
        const shown = reportToV2(stored);
        reports.push(shown);
        characters += stored.originalJson.length + SHOWN_AT_LEAST;
      }
      const more = index + 1 < page.reports.length || page.nextPageToken !== "";
      if (!more) return { reports, lastId: undefined };
      if (reports.length === pageSize || characters >= PAGE_CHARACTERS || read >= MOST_READ) return { reports, lastId: stored.id };
    }
    if (page.nextPageToken === "") return { reports, lastId: undefined };
    pageToken = page.nextPageToken;
  }
}

function isWanted({ report, updated }: StoredReport, query: ReportsQuery): boolean {
  const seconds = report?.createdAt === undefined ? 0 : Math.floor(timestampMs(report.createdAt) / 1000);
  return (query.updated === undefined || query.updated === updated) && (query.createdAt === undefined || isAt(seconds, query.createdAt));
}

/** No device and no device_group can have a name that the managers refuse: that is an empty page, as for any that nobody has. */
function nothingIsCalledSo(error: unknown): { reports: StoredReport[]; nextPageToken: string } {
  const named = ["device_id", "device_group"];
  if (isNebulaError(error, "invalid_argument") && error.violations.length > 0 && error.violations.every(({ field }) => named.includes(field)))
    return { reports: [], nextPageToken: "" };
  throw error;
}

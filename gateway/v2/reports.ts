import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { assertNever } from "../../common/errors/assert-never.ts";
import { invalidArgument, isNebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import { isReportId } from "../../common/storage/report-id.ts";
import { quote } from "../../common/text/wording.ts";
import { reportToV2 } from "../../common/v2/report-to-v2.ts";
import { type ListReportsRequestSchema, type ListReportsResponse, ReportService, type StoredReport } from "../../gen/nebula/v1/report_pb.ts";
import { COUNT, described, listOf, mapOf, NUMBER, objectOf, TEXT, TRUTH } from "./openapi/schemas.ts";
import type { Operation } from "./operation.ts";

/** The comparison of a time with the requested one. */
export const TIME_FILTERS = ["eq", "gt", "lt", "gte", "lte", "ne"] as const;
export type TimeFilter = (typeof TIME_FILTERS)[number];

const ID = objectOf({ $oid: { type: "string", pattern: "^[0-9a-f]{24}$" } });
const MEGABYTES = described(mapOf(NUMBER), "In MB.");
const CONTAINERS = listOf(
  described({ type: "object" }, "A Docker stats object; of a worker of ours its name, id and memory_stats.usage, and what else it knows."),
);

/** A report of our workers and of the original's. A worker of the original may omit and add any field. */
const REPORT = objectOf(
  { _id: ID, device_group: TEXT, report_creation_time: NUMBER, hostname: TEXT, updated: TRUTH, report_insert_date: objectOf({ $date: COUNT }) },
  {
    memory_usage: MEGABYTES,
    root_disk_usage: MEGABYTES,
    cpu_usage: mapOf(NUMBER),
    apps_containers: CONTAINERS,
    cron_jobs_containers: CONTAINERS,
    current_device_group_config: { type: "object" },
  },
);

export const REPORT_OPERATIONS: readonly Operation[] = [
  {
    method: "GET",
    path: "/reports",
    id: "listReports",
    summary: "The reports of the last hours, oldest first, page by page; only of device_groups that the caller may read.",
    query: [
      { name: "page_size", description: "The most reports of the page, up to 1000; anything but a number counts as 10.", schema: TEXT },
      { name: "hostname", description: "Only of this device.", schema: TEXT },
      { name: "device_group", description: "Only of this device_group.", schema: TEXT },
      { name: "report_creation_time", description: "Only made at such a time by the device's clock, seconds since 1970.", schema: COUNT },
      {
        name: "report_creation_time_filter",
        description: "How the time has to stand to that one; eq by default.",
        schema: { enum: [...TIME_FILTERS] },
      },
      { name: "updated", description: "Only of devices that had, or had not, changed something.", schema: { enum: ["True", "False"] } },
      { name: "last_id", description: "last_id of the page before.", schema: { type: "string", pattern: "^[0-9a-fA-F]{24}$" } },
    ],
    answers: [
      {
        status: 200,
        description: "One page; last_id null: the last one. A page may be shorter than asked for.",
        schema: objectOf({ data: { anyOf: [listOf(REPORT), { type: "null" }] }, last_id: { anyOf: [ID, { type: "null" }] } }),
      },
    ],
    async handle({ query, call }) {
      const { reports, lastId } = await listReports((request) => call(ReportService.method.listReports, request), readReportsQuery(query));
      return { status: 200, body: { data: reports.length === 0 ? null : [...reports], last_id: lastId === undefined ? null : { $oid: lastId } } };
    },
  },
];

/** One page of GET /reports; lastId undefined: it was the last one. */
export type ReportsPage = Readonly<{ reports: readonly JsonObject[]; lastId: string | undefined }>;

/** Reads one page of the history from a manager. */
export type ReadHistory = (
  request: MessageInitShape<typeof ListReportsRequestSchema>,
) => Promise<Pick<ListReportsResponse, "reports" | "nextPageToken">>;

/** The number of reports that are read at a time if some of them will not be shown. */
const READ_AT_ONCE = 500;
/** The most reports that one request reads: a filter without a match would read the whole history. The page ends there, with the id to resume at. */
const MOST_READ = 10_000;
/** A page of the managers with few or no reports counts as this many. */
const READ_AT_LEAST = 100;
/** The approximate size of a report without an original, characters. */
const SHOWN_AT_LEAST = 1000;
/** A page ends when it has this size, characters. */
const PAGE_CHARACTERS = 4 * 1024 * 1024;

/** Lists the history as v2 does, oldest first. Managers filter neither by the clock of the device nor by `updated`: that is done here. */
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
    read += Math.max(0, READ_AT_LEAST - page.reports.length);
    // The tokens of managers are ids, at which v2 can resume, unless they hide reports that the caller may not see.
    if (read >= MOST_READ && isReportId(page.nextPageToken)) return { reports, lastId: page.nextPageToken };
    pageToken = page.nextPageToken;
  }
}

function isWanted({ report, updated }: StoredReport, query: ReportsQuery): boolean {
  const seconds = report?.createdAt === undefined ? 0 : Math.floor(timestampMs(report.createdAt) / 1000);
  return (query.updated === undefined || query.updated === updated) && (query.createdAt === undefined || isAt(seconds, query.createdAt));
}

/** No device or device_group has a name that managers refuse: the page is empty, as for any unknown name. */
function nothingIsCalledSo(error: unknown): { reports: StoredReport[]; nextPageToken: string } {
  const named = ["device_id", "device_group"];
  if (isNebulaError(error, "invalid_argument") && error.violations.length > 0 && error.violations.every(({ field }) => named.includes(field)))
    return { reports: [], nextPageToken: "" };
  throw error;
}

/** The query of GET /reports. */
export type ReportsQuery = Readonly<{
  /** 1 to 1000. */
  pageSize: number;
  hostname: string | undefined;
  deviceGroup: string | undefined;
  createdAt: Readonly<{ filter: TimeFilter; seconds: number }> | undefined;
  updated: boolean | undefined;
  /** Id of the report after which the page begins. */
  lastId: string | undefined;
}>;

const DEFAULT_PAGE_SIZE = 10;
const LARGEST_PAGE_SIZE = 1000;

/** Reads the query. @throws NebulaError invalid_argument that names each parameter that is wrong */
export function readReportsQuery(query: URLSearchParams): ReportsQuery {
  const violations: Violation[] = [];
  const read = <T>(name: string, parse: (text: string) => T | undefined, wanted: string): T | undefined => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    const value = parse(text);
    if (value === undefined) violations.push({ field: name, description: `${quote(text)} is not what it has to be: ${wanted}` });
    return value;
  };
  const seconds = read("report_creation_time", secondsOf, "seconds since 1970");
  const filter = read("report_creation_time_filter", timeFilterOf, TIME_FILTERS.join(", ")) ?? "eq";
  const parsed: ReportsQuery = {
    pageSize: pageSizeOf(query.get("page_size")),
    hostname: query.get("hostname") || undefined,
    deviceGroup: query.get("device_group") || undefined,
    createdAt: seconds === undefined ? undefined : { filter, seconds },
    updated: read("updated", truthOf, "True or False"),
    lastId: read("last_id", (text) => (/^[0-9a-f]{24}$/i.test(text) ? text.toLowerCase() : undefined), "24 hexadecimal digits, from the page before"),
  };
  if (violations.length > 0) throw invalidArgument(violations);
  return parsed;
}

/** Whether a report was made at such a time. */
export function isAt(seconds: number, { filter, seconds: asked }: NonNullable<ReportsQuery["createdAt"]>): boolean {
  switch (filter) {
    case "eq":
      return seconds === asked;
    case "ne":
      return seconds !== asked;
    case "gt":
      return seconds > asked;
    case "gte":
      return seconds >= asked;
    case "lt":
      return seconds < asked;
    case "lte":
      return seconds <= asked;
    default:
      return assertNever(filter);
  }
}

/** As in the original, anything but a number counts as 10. */
function pageSizeOf(text: string | null): number {
  const size = Number(text === null || !/^[0-9]+$/.test(text) ? DEFAULT_PAGE_SIZE : text);
  return size < 1 ? DEFAULT_PAGE_SIZE : Math.min(size, LARGEST_PAGE_SIZE);
}

function secondsOf(text: string): number | undefined {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

function timeFilterOf(text: string): TimeFilter | undefined {
  return TIME_FILTERS.find((filter) => filter === text);
}

function truthOf(text: string): boolean | undefined {
  const word = text.toLowerCase();
  return word === "true" || word === "1" ? true : word === "false" || word === "0" ? false : undefined;
}

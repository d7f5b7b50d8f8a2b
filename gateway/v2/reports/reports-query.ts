import { assertNever } from "../../../common/errors/assert-never.ts";
import { invalidArgument, type Violation } from "../../../common/errors/nebula-error.ts";
import { quote } from "../../../common/validation/quote.ts";

/** How a time has to stand to the one that is asked for. */
export const TIME_FILTERS = ["eq", "gt", "lt", "gte", "lte", "ne"] as const;
export type TimeFilter = (typeof TIME_FILTERS)[number];

/** What GET /reports asks for. */
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

/** As the original: what is no number is 10. */
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

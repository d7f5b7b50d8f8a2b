import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { COUNT, described, listOf, mapOf, NUMBER, objectOf, TEXT, TRUTH } from "./openapi/schemas.ts";
import type { Operation } from "./operation.ts";
import { listReports } from "./reports/list-reports.ts";
import { readReportsQuery, TIME_FILTERS } from "./reports/reports-query.ts";

const ID = objectOf({ $oid: { type: "string", pattern: "^[0-9a-f]{24}$" } });
const MEGABYTES = described(mapOf(NUMBER), "In MB.");
const CONTAINERS = listOf(
  described({ type: "object" }, "A Docker stats object; of a worker of ours its name, id and memory_stats.usage, and what else it knows."),
);

/** As workers of ours and of the original report it. A worker of the original may leave out, and add, what it likes. */
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
      { name: "page_size", description: "At most so many, up to 1000; what is no number is 10.", schema: TEXT },
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

import { create } from "@bufbuild/protobuf";
import { ReportSchema, type StoredReport, StoredReportSchema } from "../../../../gen/nebula/v1/report_pb.ts";
import { readMessage } from "../../../protobuf/binary-message.ts";
import type { PageRequest } from "../../page.ts";
import { decodeReportPosition, PAGE_BYTES, type Page } from "../../page.ts";
import { firstReportIdAt, lastReportIdBefore, reportIdMs } from "../../report-id.ts";
import type { ReportFilter } from "../../report-store.ts";
import { bool, bytes, integer, isNull, type Row, text } from "../connection/rows.ts";
import { BUCKETS } from "../schema/report-tables.ts";
import { mergeBuckets, partOf } from "./merge-buckets.ts";
import { hourMs, hourOf, type ReportClient } from "./report-rows.ts";

/** The index entry of a report. */
type Slim = Readonly<{ id: string; deviceId: string; deviceGroup: string | undefined; state: number; bytes: number }>;

/** Index rows, and hours, that one call looks at: a filter that few reports match ends a page early. */
export const MOST_LOOKED_AT = 5000;
const MOST_HOURS = 32;
/** Reports may be this much ahead of the reader's clock, or behind it, milliseconds. */
const CLOCKS_DIFFER_MS = 3_600_000;

const SLIM = "id, device_id, state, bytes";
const BY_HOUR = `SELECT ${SLIM} FROM report_by_hour WHERE hour = ? AND bucket = ? AND id > ? AND id < ? LIMIT ?`;
const BY_GROUP = `SELECT ${SLIM} FROM report_by_group WHERE device_group = ? AND hour = ? AND bucket = ? AND id > ? AND id < ? LIMIT ?`;
const BY_DEVICE = `SELECT ${SLIM}, device_group FROM report WHERE device_id = ? AND id > ? AND id < ? LIMIT ?`;
const BODY = "SELECT id, body, original, updated FROM report WHERE device_id = ? AND id = ?";

export type HistoryDeps = Readonly<{ client: ReportClient; reportTtlMs: number; now: () => number; mostLookedAt: number }>;

/** A part of the history between two ids, both excluded. */
type Range = Readonly<{ after: string; until: string }>;

/** Lists the history: ids from an index in their order, then the bodies of one page. */
export async function listReports(
  deps: HistoryDeps,
  filter: ReportFilter,
  { after, limit }: PageRequest,
  signal: AbortSignal | undefined,
): Promise<Page<StoredReport>> {
  const range = rangeOf(filter, after === undefined ? undefined : decodeReportPosition(after));
  const page: Slim[] = [];
  let [size, looked, position]: [number, number, string | undefined] = [0, 0, undefined];
  for await (const step of filter.deviceId === undefined
    ? ofHours(deps, filter, range, limit, signal)
    : ofDevice(deps, filter.deviceId, range, limit, signal)) {
    if (step.kind === "through") {
      position = step.id;
      if (step.pause) return { items: await bodies(deps, page, signal), next: position };
      continue;
    }
    const isFull = page.length === limit || (page.length > 0 && size + step.slim.bytes > PAGE_BYTES);
    if (isFull) return { items: await bodies(deps, page, signal), next: page.at(-1)?.id };
    if (looked++ === deps.mostLookedAt) return { items: await bodies(deps, page, signal), next: position };
    position = step.slim.id;
    if (!matches(step.slim, filter)) continue;
    page.push(step.slim);
    size += step.slim.bytes;
  }
  return { items: await bodies(deps, page, signal), next: undefined };
}

function rangeOf({ receivedFromMs = 0, receivedUntilMs, afterId = "" }: ReportFilter, after = ""): Range {
  const last = after < afterId ? afterId : after;
  const from = receivedFromMs <= 0 ? "" : lastReportIdBefore(receivedFromMs);
  return { after: last < from ? from : last, until: receivedUntilMs === undefined ? "g" : firstReportIdAt(receivedUntilMs) };
}

/** `through`: everything up to this id was looked at; `pause`: that was enough for one call. */
type Step = Readonly<{ kind: "report"; slim: Slim } | { kind: "through"; id: string; pause: boolean }>;

async function* ofDevice(
  { client }: HistoryDeps,
  deviceId: string,
  { after, until }: Range,
  limit: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Step> {
  const part = Math.min(limit + 1, 500);
  for (let last = after; ; ) {
    const { rows } = await client.execute(
      { cql: BY_DEVICE, params: [deviceId, last, until, part] },
      { table: "report", kind: "read", fetchSize: part, signal },
    );
    for (const row of rows) yield { kind: "report", slim: slimOf(row) };
    const end = rows.at(-1);
    if (end === undefined || rows.length < part) return;
    last = text(end, "id");
  }
}

async function* ofHours(
  { client, reportTtlMs, now }: HistoryDeps,
  { deviceGroup }: ReportFilter,
  { after, until }: Range,
  limit: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Step> {
  const first = hourOf(Math.max(after === "" ? 0 : reportIdMs(after), now() - reportTtlMs - CLOCKS_DIFFER_MS));
  const last = hourOf(Math.min(until === "g" ? Number.MAX_SAFE_INTEGER : reportIdMs(until), now() + CLOCKS_DIFFER_MS));
  const buckets = deviceGroup === undefined ? BUCKETS.hour : BUCKETS.groupHour;
  const part = partOf(limit, buckets);
  const table = deviceGroup === undefined ? "report_by_hour" : "report_by_group";
  for (let hour = first; hour <= last; hour++) {
    const read = async (bucket: number, key: string | undefined, most: number) => {
      const range = [hour, bucket, key ?? after, until, most];
      const query = deviceGroup === undefined ? { cql: BY_HOUR, params: range } : { cql: BY_GROUP, params: [deviceGroup, ...range] };
      return (await client.execute(query, { table, kind: "read", fetchSize: most, signal })).rows.map(slimOf);
    };
    for await (const slim of mergeBuckets(buckets, part, read, ({ id }) => id)) yield { kind: "report", slim: { ...slim, deviceGroup } };
    if (hour < last) yield { kind: "through", id: lastReportIdBefore(hourMs(hour + 1)), pause: hour - first + 1 >= MOST_HOURS };
  }
}

function slimOf(row: Row): Slim {
  return {
    id: text(row, "id"),
    deviceId: text(row, "device_id"),
    deviceGroup: row.device_group === undefined ? undefined : text(row, "device_group"),
    state: integer(row, "state"),
    bytes: integer(row, "bytes"),
  };
}

function matches({ deviceGroup, state }: Slim, filter: ReportFilter): boolean {
  return (filter.deviceGroup === undefined || filter.deviceGroup === deviceGroup) && (filter.state === undefined || filter.state === state);
}

/** The bodies of a page; a report that has expired since is left out. */
async function bodies({ client }: HistoryDeps, page: readonly Slim[], signal: AbortSignal | undefined): Promise<StoredReport[]> {
  const keys = page.map(({ deviceId, id }) => [deviceId, id]);
  const answers = await client.executeMany(BODY, keys, { table: "report", kind: "read", signal });
  return answers.flatMap((rows) => rows.filter((row) => !isNull(row, "body")).map(reportOf));
}

/** Of the columns id, body, original and updated. */
export function reportOf(row: Row): StoredReport {
  const report = readMessage(ReportSchema, bytes(row, "body"));
  return create(StoredReportSchema, { id: text(row, "id"), report, originalJson: text(row, "original"), updated: bool(row, "updated") });
}

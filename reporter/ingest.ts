import { create } from "@bufbuild/protobuf";
import type { BatchHandler, BusMessage, ReportBus } from "../common/bus/report-bus.ts";
import type { Clock } from "../common/clock/clock.ts";
import { messageOf } from "../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../common/feed/change-feed.ts";
import type { Log } from "../common/log/log.ts";
import type { AccessStore } from "../common/storage/access-store.ts";
import type { ReportStore, StatusRow } from "../common/storage/report-store.ts";
import { type StoredReport, StoredReportSchema } from "../gen/nebula/v1/report_pb.ts";
import { announcements } from "./announcement.ts";
import { type Folded, type FoldLimits, fold } from "./fold.ts";
import { hasUpdated } from "./has-updated.ts";
import type { ReporterMetrics } from "./metrics.ts";
import { type ParsedRecord, parseRecord } from "./parse-record.ts";
import { reportId } from "./report-id.ts";

export type IngestParts = Readonly<{
  store: Pick<ReportStore, "statuses" | "save">;
  accessStore: Pick<AccessStore, "deviceToken">;
  bus: Pick<ReportBus, "publishDead">;
  feed: Pick<ChangeFeed, "publish">;
  limits: FoldLimits;
  clock: Clock;
  log: Log;
  metrics: ReporterMetrics;
}>;

type Dead = Readonly<{ message: BusMessage; reason: string }>;
type Received = Extract<ParsedRecord, { kind: "report" }>;
type Sorted = Readonly<{ received: readonly Received[]; dead: readonly Dead[] }>;
type FoldedBatch = Readonly<{ inserts: readonly StoredReport[]; rows: ReadonlyMap<string, StatusRow>; outcomes: readonly Folded["kind"][] }>;

/**
 * What is done with each batch of the bus: read the rows of its devices, fold, save, put aside what can't be read, announce, and return, which commits.
 * A batch that is handled again changes nothing (fold's F5). It rejects when the store or the bus does: then the batch comes again.
 */
export function createIngest(parts: IngestParts): BatchHandler {
  const { store, accessStore, bus, feed, limits, clock, log, metrics } = parts;

  /**
   * Leaves out the records that would take a device with a token of its own out of that token's group. A shard has checked its caller, and says whether the device
   * has a token; a record that a worker of the original put on the bus itself has no caller.
   */
  async function atHome(received: readonly Received[], before: ReadonlyMap<string, StatusRow>): Promise<readonly Received[]> {
    /** The group of each device's token, where it was looked up. */
    const tokens = new Map<string, string | undefined>();
    for (const { report, original } of received) {
      const isSame = before.get(report.deviceId)?.device.deviceGroup === report.deviceGroup;
      if (original === undefined || isSame || tokens.has(report.deviceId)) continue;
      tokens.set(report.deviceId, (await accessStore.deviceToken(report.deviceId))?.deviceGroup);
    }
    return received.flatMap((each) => {
      const { deviceId, deviceGroup } = each.report;
      if (each.original === undefined) return [each];
      if (!tokens.has(deviceId)) return [{ ...each, withoutToken: before.get(deviceId)?.withoutToken ?? false }];
      const group = tokens.get(deviceId);
      return group !== undefined && group !== deviceGroup ? [] : [{ ...each, withoutToken: group === undefined }];
    });
  }

  async function ingest(batch: readonly BusMessage[]): Promise<void> {
    const { received, dead } = sort(batch);
    const deviceIds = new Set(received.map(({ report }) => report.deviceId));
    const before = deviceIds.size === 0 ? new Map<string, StatusRow>() : await store.statuses([...deviceIds]);
    const home = await atHome(received, before);
    const { inserts, rows, outcomes } = foldBatch(before, home, limits);
    const { leftOut } = inserts.length > 0 ? await store.save({ reports: inserts, statuses: [...rows.values()] }) : { leftOut: 0 };
    for (const { message, reason } of dead) await bus.publishDead(message, reason);
    const events = [...rows].flatMap(([deviceId, row]) => announcements(before.get(deviceId)?.device, row.device));
    await Promise.all(events.map((event) => feed.publish(event)));
    for (const outcome of outcomes) metrics.reports.inc({ outcome });
    metrics.reports.inc({ outcome: "foreign" }, received.length - home.length);
    metrics.leftOut.inc(leftOut);
    metrics.unreadable.inc(dead.length);
    // One line a batch: a device that sends nonsense must not fill the log.
    const [first] = dead;
    if (first !== undefined)
      log.warn({ records: dead.length, key: first.message.key, reason: first.reason }, "records that can't be read were put aside");
  }

  return async (batch) => {
    const begun = clock.monotonic();
    try {
      await ingest(batch);
      metrics.batchSeconds.observe((clock.monotonic() - begun) / 1000);
    } catch (error) {
      metrics.batchFailures.inc();
      log.warn({ records: batch.length, error: messageOf(error) }, "a batch of reports could not be stored and is read again");
      throw error;
    }
  };
}

function sort(batch: readonly BusMessage[]): Sorted {
  const received: Received[] = [];
  const dead: Dead[] = [];
  for (const message of batch) {
    const parsed = parseRecord(message);
    if (parsed.kind === "report") received.push(parsed);
    else dead.push({ message, reason: parsed.reason });
  }
  return { received, dead };
}

/** Folds reports in the order of the log; rows that did not change are not in the answer. */
function foldBatch(before: ReadonlyMap<string, StatusRow>, received: readonly Received[], limits: FoldLimits): FoldedBatch {
  const rows = new Map<string, StatusRow>();
  const inserts: StoredReport[] = [];
  const outcomes: Folded["kind"][] = [];
  for (const { report, original, withoutToken } of received) {
    const row = rows.get(report.deviceId) ?? before.get(report.deviceId);
    const folded = fold(row, report, limits);
    outcomes.push(folded.kind);
    if (folded.kind === "repeat") continue;
    rows.set(report.deviceId, { ...folded.row, withoutToken });
    const updated = original?.updated ?? (folded.kind === "newest" && hasUpdated(row?.device.report, report));
    inserts.push(create(StoredReportSchema, { id: reportId(report), report, originalJson: original?.json ?? "", updated }));
  }
  return { inserts, rows, outcomes };
}

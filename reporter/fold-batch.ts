import type { BusMessage } from "../common/bus/report-bus.ts";
import { messageOf } from "../common/errors/nebula-error.ts";
import { receivedMs, reportId } from "../common/storage/report-id.ts";
import type { DeviceChange, StatusRow } from "../common/storage/report-store.ts";
import type { Report, StoredReport } from "../gen/nebula/v1/report_pb.ts";
import { type Folded, type FoldLimits, fold, hasUpdated } from "./fold.ts";
import { type ParsedRecord, parseRecord } from "./parse-record.ts";

/** A record with its report. */
export type ReceivedRecord = Extract<ParsedRecord, { kind: "report" }> & Readonly<{ message: BusMessage }>;

/** A record that cannot be read or folded. */
export type DeadRecord = Readonly<{ message: BusMessage; reason: string }>;

export type FoldedBatch = Readonly<{
  /** The devices whose rows changed, each once. */
  changes: readonly DeviceChange[];
  outcomes: readonly Folded["kind"][];
  /** Reports that became the status of their device, or known, and are older than any in the history. */
  tooOld: number;
  dead: readonly DeadRecord[];
}>;

/** Reads the records of a batch, in their order. */
export function parseBatch(batch: readonly BusMessage[]): Readonly<{ received: readonly ReceivedRecord[]; dead: readonly DeadRecord[] }> {
  const received: ReceivedRecord[] = [];
  const dead: DeadRecord[] = [];
  for (const message of batch) {
    const parsed = parseRecord(message);
    if (parsed.kind === "report") received.push({ ...parsed, message });
    else dead.push({ message, reason: parsed.reason });
  }
  return { received, dead };
}

/**
 * Folds reports in the order of the log.
 * @param before the rows of their devices
 * @param historyFromMs when the oldest report of the history was received, milliseconds since 1970: an older one is not inserted
 */
export function foldBatch(
  before: ReadonlyMap<string, StatusRow>,
  received: readonly ReceivedRecord[],
  limits: FoldLimits,
  historyFromMs: number,
): FoldedBatch {
  const changes = new Map<string, { before: StatusRow | undefined; row: StatusRow; reports: StoredReport[] }>();
  const outcomes: Folded["kind"][] = [];
  const dead: DeadRecord[] = [];
  let tooOld = 0;

  function foldOne({ report, original, withoutToken }: ReceivedRecord): void {
    const { deviceId } = report;
    const stored = before.get(deviceId);
    const change = changes.get(deviceId) ?? { before: stored, row: undefined, reports: [] };
    const row = change.row ?? stored;
    const folded = fold(row, report, limits);
    outcomes.push(folded.kind);
    if (folded.kind === "repeat" || folded.kind === "outdated") return;
    const present = row?.deleted === true ? undefined : row?.device.report;
    const updated = original?.updated ?? (folded.kind === "newest" && hasUpdated(present, report));
    const isKept = receivedMs(report.receivedAt) >= historyFromMs;
    const inserts = isKept ? [storedReport(report, original?.json ?? "", updated)] : [];
    if (!isKept) tooOld++;
    changes.set(deviceId, { before: stored, row: { ...folded.row, withoutToken }, reports: [...change.reports, ...inserts] });
  }

  for (const record of received) {
    try {
      foldOne(record);
    } catch (error) {
      dead.push({ message: record.message, reason: `the report cannot be folded: ${messageOf(error)}` }); // pure code: it would throw at every attempt
    }
  }
  return { changes: [...changes.values()], outcomes, tooOld, dead };
}

function storedReport(report: Report, originalJson: string, updated: boolean): StoredReport {
  return { $typeName: "nebula.v1.StoredReport", id: reportId(report), report, originalJson, updated }; // several times faster than by its schema
}

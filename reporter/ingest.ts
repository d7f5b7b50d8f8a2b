import type { BatchHandler, BusMessage, ReportBus } from "../common/bus/report-bus.ts";
import type { Clock } from "../common/clock/clock.ts";
import { TurnTime } from "../common/clock/turn-time.ts";
import { isNebulaError, messageOf, NebulaError } from "../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../common/feed/change-feed.ts";
import { statusAnnouncements } from "../common/insight/status-announcements.ts";
import type { Log } from "../common/log/log.ts";
import type { AccessStore } from "../common/storage/access-store.ts";
import { receivedMs } from "../common/storage/report-id.ts";
import type { ReportStore, StatusRow } from "../common/storage/report-store.ts";
import type { FoldLimits } from "./fold.ts";
import { type DeadRecord, foldBatch, parseBatch, type ReceivedRecord } from "./fold-batch.ts";
import type { ReporterMetrics } from "./metrics.ts";

// How a batch of the bus becomes rows and history.
//
// N1: the store writes the history, the indexes, and the device's row last; then the batch is announced; then the handler resolves, which commits it.
// N2: a batch that was cut anywhere, and is handled again, writes the same again: ids and versions follow from the log and the row, which is written last
//     (`reportId`, `nextWrite` in fold.ts; `ReportStore.save` promises the order).
// N3: nothing is written once the partition is lost; what is under way then carries an older version than the next reporter's rows, and loses.
// N4: no record stops its partition. One that cannot be read or folded is put aside; so is one that the store refuses again and again, by itself, for
//     another reason than being unavailable.

/** Time after which a batch gives others their turn before its next part, milliseconds. Stores in this process divide their own part. */
const TURN_MS = 5;
/** The attempt from which on the records of a batch are handled one by one: until then a fault may pass by itself. */
const ONE_BY_ONE_FROM = 4;

export type IngestParts = Readonly<{
  store: Pick<ReportStore, "statuses" | "save">;
  accessStore: Pick<AccessStore, "deviceToken">;
  bus: Pick<ReportBus, "publishDead">;
  feed: Pick<ChangeFeed, "publish">;
  limits: FoldLimits;
  /** How long a report is kept, milliseconds. */
  reportTtlMs: number;
  clock: Clock;
  log: Log;
  metrics: ReporterMetrics;
  /** Called after each attempt: with the backend that was unavailable, by its setting, or with undefined. */
  misses: (backend: string | undefined) => void;
}>;

/** The setting that names a backend that a batch needs. */
type Backend = "NEBULA_STORE" | "NEBULA_REPORTS" | "NEBULA_BUS";

/** Creates the handler of the bus's batches. The handler rejects when the store or the bus is unavailable: then the batch is handed over again. */
export function createIngest(parts: IngestParts): BatchHandler {
  const { store, accessStore, bus, feed, limits, reportTtlMs, clock, log, metrics, misses } = parts;
  /** Attempts of the batches that failed for another reason than an unavailable store, by their first record. */
  const attempts = new WeakMap<BusMessage, number>();

  /** Rejects as the work does, after saying which backend is unavailable. */
  async function from<T>(backend: Backend, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (isNebulaError(error, "unavailable")) misses(`${backend} is unavailable: ${messageOf(error)}`);
      throw error;
    }
  }

  /**
   * Leaves out the records that would take a device with a token of its own out of that token's group. A shard has checked its caller, and says whether the device
   * has a token; a record that a worker of the original put on the bus itself has no caller.
   */
  async function atHome(
    received: readonly ReceivedRecord[],
    before: ReadonlyMap<string, StatusRow>,
    signal: AbortSignal,
  ): Promise<readonly ReceivedRecord[]> {
    const present = (deviceId: string) => {
      const row = before.get(deviceId);
      return row?.deleted === true ? undefined : row;
    };
    /** The group of each device's token, where it was looked up. */
    const tokens = new Map<string, string | undefined>();
    for (const { report, original } of received) {
      const isSame = present(report.deviceId)?.device.deviceGroup === report.deviceGroup;
      if (original === undefined || isSame || tokens.has(report.deviceId)) continue;
      tokens.set(report.deviceId, (await from("NEBULA_STORE", accessStore.deviceToken(report.deviceId, signal)))?.deviceGroup);
    }
    return received.flatMap((each) => {
      const { deviceId, deviceGroup } = each.report;
      if (each.original === undefined) return [each];
      if (!tokens.has(deviceId)) return [{ ...each, withoutToken: present(deviceId)?.withoutToken ?? false }];
      const group = tokens.get(deviceId);
      return group !== undefined && group !== deviceGroup ? [] : [{ ...each, withoutToken: group === undefined }];
    });
  }

  async function ingest(batch: readonly BusMessage[], signal: AbortSignal): Promise<void> {
    const time = new TurnTime(clock, TURN_MS);
    const { received, dead } = parseBatch(batch);
    if (time.isOver) await time.next();
    const deviceIds = new Set(received.map(({ report }) => report.deviceId));
    const before = deviceIds.size === 0 ? new Map<string, StatusRow>() : await from("NEBULA_REPORTS", store.statuses([...deviceIds], signal));
    const home = await atHome(received, before, signal);
    if (time.isOver) await time.next();
    const folded = foldBatch(before, home, limits, clock.now() - reportTtlMs);
    if (time.isOver) await time.next();
    signal.throwIfAborted(); // N3
    const { leftOut } = folded.changes.length > 0 ? await from("NEBULA_REPORTS", store.save(folded.changes, signal)) : { leftOut: 0 };
    await putAside([...dead, ...folded.dead], signal);
    if (time.isOver) await time.next();
    for (const event of statusAnnouncements(folded.changes)) feed.publish(event); // N1: a hint, never waited for
    for (const outcome of folded.outcomes) metrics.reports.inc({ outcome });
    metrics.reports.inc({ outcome: "foreign" }, received.length - home.length);
    metrics.tooOld.inc(folded.tooOld);
    metrics.leftOut.inc(leftOut);
    metrics.folded(received.map(({ report }) => receivedMs(report.receivedAt)));
  }

  async function putAside(dead: readonly DeadRecord[], signal: AbortSignal): Promise<void> {
    for (const { message, reason } of dead) {
      signal.throwIfAborted();
      try {
        await from("NEBULA_BUS", bus.publishDead(message, reason, signal));
      } catch (error) {
        if (signal.aborted || isNebulaError(error, "unavailable")) throw error;
        log.error({ ...positionOf(message), reason, error: messageOf(error) }, "a record that cannot be read could not be put aside either"); // N4
      }
    }
    metrics.unreadable.inc(dead.length);
    // One line a batch: a device that sends nonsense must not fill the log.
    const [first] = dead;
    if (first !== undefined)
      log.warn(
        { records: dead.length, key: first.message.key, ...positionOf(first.message), reason: first.reason },
        "records that can't be read were put aside",
      );
  }

  /** N4: handles each record by itself, and puts aside those that the store refuses. */
  async function ingestOneByOne(batch: readonly BusMessage[], signal: AbortSignal): Promise<void> {
    for (const message of batch) {
      try {
        await ingest([message], signal);
      } catch (error) {
        if (signal.aborted || error instanceof NebulaError) throw error;
        await putAside([{ message, reason: `the report cannot be stored: ${messageOf(error)}` }], signal);
      }
    }
  }

  /** Counts an attempt that failed for another reason than an unavailable backend. */
  function countFault([first]: readonly BusMessage[], error: unknown): void {
    if (first !== undefined && !(error instanceof NebulaError)) attempts.set(first, (attempts.get(first) ?? 1) + 1);
  }

  return async (batch, signal) => {
    const begun = clock.monotonic();
    const [first] = batch;
    const attempt = first === undefined ? 1 : (attempts.get(first) ?? 1);
    try {
      await (attempt < ONE_BY_ONE_FROM ? ingest(batch, signal) : ingestOneByOne(batch, signal));
      misses(undefined);
      metrics.batchSeconds.observe((clock.monotonic() - begun) / 1000);
    } catch (error) {
      if (!signal.aborted) countFault(batch, error);
      metrics.batchFailures.inc();
      log.warn({ records: batch.length, error: messageOf(error) }, "a batch of reports could not be stored and is read again");
      throw error;
    }
  };
}

function positionOf({ position }: BusMessage): { partition?: number; offset?: string } {
  return position === undefined ? {} : { partition: position.partition, offset: String(position.offset) };
}

import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { receivedMs } from "../common/storage/report-id.ts";
import type { StatusRow } from "../common/storage/report-store.ts";
import { type Device, DeviceSchema, type SupersededBoot, SupersededBootSchema } from "../gen/nebula/v1/device_pb.ts";
import type { AppStatus, CronJobStatus, Report } from "../gen/nebula/v1/report_pb.ts";

// How reports become a device's newest status. No clock decides here, so clocks of shards that differ change nothing; the order of the log does.
//
// F1: within a boot the larger seq wins.
// F2: a boot that the row does not know is newer than all it knows.
// F3: the row keeps the last four superseded boots, each with its newest seq; their reports never win.
// F4: a report whose seq is not above the newest folded one of its boot changes nothing: it is a repeat, or was never acknowledged to its worker.
// F5: so folding any part of a device's log again, from any place in it up to where it was folded before, changes nothing (as long as that part
//     has at most five boots: F3).
// F6: a report of a boot that the row does not know changes nothing if it was received well before the row's newest one: its boot was forgotten (F3).
//
// A deleted device leaves a marker that knows its boots; the next report above them makes it a device again.

/** How many superseded boots a row keeps. */
const SUPERSEDED_KEPT = 4;
/** How much older than the row's newest report one of an unknown boot is when its boot was forgotten, milliseconds: clocks of shards differ by less. */
const FORGOTTEN_MARGIN_MS = 10 * 60_000;
/** A report of a superseded boot that a shard took this long after the next boot's first one, milliseconds, was not merely on its way: clocks of shards differ by less. */
const DUPLICATE_MARGIN_MS = 30_000;

export type FoldLimits = Readonly<{
  /** How long a device is marked "duplicate id" after the last sign of a second worker, milliseconds. */
  duplicateMemoryMs: number;
}>;

export type Folded = Readonly<
  /** The report is known already; nothing is written. */
  | { kind: "repeat" }
  /** The report is of a boot that the row has forgotten; nothing is written. */
  | { kind: "outdated" }
  /** The report is the device's newest status, and new in the history. */
  | { kind: "newest"; row: StatusRow }
  /** The report is of a superseded boot: new in the history, but not the status. */
  | { kind: "late"; row: StatusRow }
>;

/** Folds the next report of a device's log into its row. `received_at` has to be set. */
export function fold(row: StatusRow | undefined, report: Report, limits: FoldLimits): Folded {
  const device = row?.device;
  const newest = device?.report;
  const known = newest?.boot === report.boot ? newest : device?.supersededBoots.find(({ boot }) => boot === report.boot);
  if (known !== undefined && report.seq <= known.seq) return { kind: "repeat" }; // F4
  if (newest !== undefined && known === undefined && receivedMs(report.receivedAt) < receivedMs(newest.receivedAt) - FORGOTTEN_MARGIN_MS)
    return { kind: "outdated" }; // F6
  const writtenAt = nextWrite(row, report);
  if (row !== undefined && known !== undefined && known !== newest) return { kind: "late", row: lateRow(row, report, writtenAt) }; // F3
  const superseded = device?.supersededBoots ?? [];
  return {
    kind: "newest", // F1, F2
    row: {
      device: deviceAfter(
        device,
        report,
        newest === undefined || known !== undefined ? superseded : [...superseded, supersede(newest, report)].slice(-SUPERSEDED_KEPT),
        limits,
      ),
      writtenAt,
    },
  };
}

/** The device with its newest report. An object literal is made several times faster than a message by its schema. */
function deviceAfter(device: Device | undefined, report: Report, supersededBoots: SupersededBoot[], limits: FoldLimits): Device {
  const { deviceId, deviceGroup } = report;
  const after: Device = {
    $typeName: "nebula.v1.Device",
    deviceId,
    deviceGroup,
    report,
    supersededBoots,
    duplicateId: stillDuplicate(device, report, limits),
  };
  const firstSeenAt = device?.firstSeenAt ?? report.receivedAt;
  if (firstSeenAt !== undefined) after.firstSeenAt = firstSeenAt;
  if (device?.duplicateSeenAt !== undefined) after.duplicateSeenAt = device.duplicateSeenAt;
  if (device?.$unknown !== undefined) after.$unknown = device.$unknown; // of a newer release, beside which this one runs
  return after;
}

function supersede({ boot, seq }: Report, { receivedAt }: Report): SupersededBoot {
  return create(SupersededBootSchema, { boot, seq, supersededAt: receivedAt });
}

function lateRow({ device, deleted }: StatusRow, report: Report, writtenAt: bigint): StatusRow {
  return deleted === true ? { device: withSeq(device, report), writtenAt, deleted } : { device: withLate(device, report), writtenAt };
}

function withSeq(device: Device, { boot, seq }: Report): Device {
  const boots = device.supersededBoots.map((known) => (known.boot === boot ? create(SupersededBootSchema, { ...known, seq }) : known));
  return create(DeviceSchema, { ...device, supersededBoots: boots });
}

/** Marks the seq of a superseded boot; one that was taken well after the next boot appeared shows that two workers are alive. */
function withLate(device: Device, report: Report): Device {
  const after = withSeq(device, report);
  const since = device.supersededBoots.find(({ boot }) => boot === report.boot)?.supersededAt;
  const alive = since !== undefined && receivedMs(report.receivedAt) > receivedMs(since) + DUPLICATE_MARGIN_MS;
  if (!alive) return after;
  return create(DeviceSchema, {
    ...after,
    duplicateId: true,
    duplicateSeenAt: later(after.duplicateSeenAt, report.receivedAt),
  });
}

function stillDuplicate(device: Device | undefined, report: Report, { duplicateMemoryMs }: FoldLimits): boolean {
  return device?.duplicateSeenAt !== undefined && receivedMs(report.receivedAt) <= receivedMs(device.duplicateSeenAt) + duplicateMemoryMs;
}

/** The version of the row's next write: received_at, but always above the stored one, so clocks of shards do not matter. */
function nextWrite(row: StatusRow | undefined, report: Report): bigint {
  const received = BigInt(receivedMs(report.receivedAt)) * 1000n;
  return row === undefined || received > row.writtenAt ? received : row.writtenAt + 1n;
}

function later(a: Timestamp | undefined, b: Timestamp | undefined): Timestamp | undefined {
  return a !== undefined && receivedMs(a) >= receivedMs(b) ? a : b;
}

/** Whether a device has changed something since its report before: an app or cron_job is at another revision, or an app has other containers. */
export function hasUpdated(before: Report | undefined, after: Report): boolean {
  if (before === undefined) return true;
  return !isEach(before.apps, after.apps, isSameApp) || !isEach(before.cronJobs, after.cronJobs, isSameRevision);
}

/** Whether two lists are as long, and `isSame` holds for each pair. */
function isEach<T>(ones: readonly T[], others: readonly T[], isSame: (one: T, other: T) => boolean): boolean {
  return (
    ones.length === others.length &&
    ones.every((one, index) => {
      const other = others[index];
      return other !== undefined && isSame(one, other);
    })
  );
}

function isSameApp(one: AppStatus, other: AppStatus): boolean {
  return isSameRevision(one, other) && isEach(idsOf(one), idsOf(other), Object.is);
}

function isSameRevision(one: AppStatus | CronJobStatus, other: AppStatus | CronJobStatus): boolean {
  return one.name === other.name && one.appliedRevision === other.appliedRevision;
}

function idsOf({ containers }: AppStatus): readonly string[] {
  return containers.map(({ id }) => id).sort();
}

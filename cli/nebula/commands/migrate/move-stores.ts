/**
 * Copies all that one store holds to another: record by record, tombstones, history, cluster id, epoch and sealed values included.
 *
 * V1 Nothing is written before the target was found to be empty, or to hold nothing but what this move, cut before, put there.
 * V2 Until every record was compared the target has UNFINISHED_EPOCH, so no component runs on a part of the cluster.
 * V3 No component runs on either store before the first step, nor before the last one.
 * V4 It can be cut anywhere and run again: what is there is compared, what is missing is put.
 */
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { eachLimited } from "../../../../common/map-limited.ts";
import type { OpenedDrivers, STORES } from "../../../../common/open-drivers.ts";
import { type AccessRecord, recordKey } from "../../../../common/storage/access-store.ts";
import { auditKey } from "../../../../common/storage/audit-id.ts";
import { type ClusterIdentity, type EntityRecord, UNFINISHED_EPOCH } from "../../../../common/storage/config-store.ts";
import { type Movable, recordText } from "../../../../common/storage/movable.ts";
import { receivedMs } from "../../../../common/storage/report-id.ts";
import { type DeviceRecord, STATUS_KEPT_MS, type StatusRow } from "../../../../common/storage/report-store.ts";
import { assertNothingRuns } from "../server/mark-running.ts";

export type Stores = Pick<OpenedDrivers<(typeof STORES)[number]>, "configStore" | "accessStore" | "reportStore">;

export type MoveOptions = Readonly<{
  from: Stores;
  to: Stores;
  now: () => number;
  /** How long reports and entries of the audit log are kept, milliseconds: what has expired, or is about to, is neither copied nor compared. */
  reportTtlMs: number;
  auditRetentionMs: number;
  say: (line: string) => void;
  signal: AbortSignal;
}>;

/** The moved records of one kind: all were compared. `copied`: by this run. */
export type Moved = Readonly<{ kind: string; records: number; copied: number }>;

/** Records that are worked on at a time. */
const AT_ONCE = 32;
/** Records that expire within that time may be gone on one side already, milliseconds. */
const ABOUT_TO_EXPIRE_MS = 60_000;

/**
 * Moves all records, and answers how many there are of each kind.
 * @throws NebulaError failed_precondition while a component runs on either store; for a target that is another cluster, or holds other data; for a record
 *   that differs after the copy
 */
export async function moveStores(options: MoveOptions): Promise<readonly Moved[]> {
  const { from, to, say, signal } = options;
  const [source, target] = [from.configStore.cluster, to.configStore.cluster];
  const assertIdle = async () => {
    for (const { configStore } of [from, to]) await assertNothingRuns(configStore, signal);
  };
  await assertIdle(); // V3
  const kinds = kindsOf(options);
  if (target.id !== source.id) {
    for (const kind of kinds) await assertEmpty(kind, target, signal); // V1
  } else {
    for (const kind of kinds) await assertHoldsOnlyPart(kind, target, signal); // V1
  }
  if (target.id === source.id && target.epoch === source.epoch) {
    const found = await compareAll(kinds, signal);
    if (found !== undefined) return found; // it was moved before
  }
  await to.configStore.becomeCluster({ id: source.id, epoch: UNFINISHED_EPOCH }); // V2
  const moved: Moved[] = [];
  for (const kind of kinds) moved.push({ kind: kind.name, ...(await copy(kind, say, signal)) });
  const compared = await compareAll(kinds, signal);
  if (compared === undefined || compared.some(({ records }, index) => records !== moved[index]?.records)) {
    throw new NebulaError("failed_precondition", "the two stores differ after the copy: stop every server on them, then run the command again");
  }
  await assertIdle(); // V3
  await to.configStore.becomeCluster(source); // V2
  return moved;
}

/** One kind of records, in both stores. */
type Kind = Readonly<{
  name: string;
  source: () => AsyncIterable<Item>;
  target: () => AsyncIterable<Item>;
}>;

/** A record of one store, and how the other one sees it. */
type Item = Readonly<{
  key: string;
  /** The text of the record without what has expired; undefined: all of it has. */
  text: string | undefined;
  /** The text of its counterpart in the other store, likewise, and whether that is a part of this one, or this one of it. */
  counterpart: () => Promise<Readonly<{ text: string | undefined; isPart: boolean }>>;
  /** Puts the record into the other store. */
  put: () => Promise<void>;
}>;

function kindsOf({ from, to, now, reportTtlMs, auditRetentionMs, signal }: MoveOptions): readonly Kind[] {
  const whole = <R>(record: R) => record;
  const limit = (keptMs: number) => now() + ABOUT_TO_EXPIRE_MS - keptMs;
  const entity = (kind: EntityRecord["kind"]) =>
    kindOf(kind, kind, from.configStore.records, to.configStore.records, ({ name }) => name, whole, signal);
  const access = (name: string, kind: AccessRecord["kind"]) =>
    kindOf(
      name,
      kind,
      from.accessStore.records,
      to.accessStore.records,
      recordKey,
      (record) => currentAccess(record, limit(auditRetentionMs)),
      signal,
    );
  const current = (record: DeviceRecord) => currentDevice(record, { reports: limit(reportTtlMs), statuses: limit(STATUS_KEPT_MS) });
  return [
    entity("app"),
    entity("cron_job"),
    entity("device_group"),
    access("user", "user"),
    access("user_group", "user_group"),
    access("enrolment_token", "enrolment"),
    access("device_token", "device"),
    access("audit_entry", "audit"),
    kindOf("device", "device", from.reportStore.records, to.reportStore.records, ({ deviceId }) => deviceId, current, signal),
  ];
}

function kindOf<R extends Readonly<{ kind: string }>>(
  name: string,
  kind: R["kind"],
  from: Movable<R>,
  to: Movable<R>,
  keyOf: (record: R) => string,
  current: (record: R) => R | undefined,
  signal: AbortSignal,
): Kind {
  async function* items(own: Movable<R>, other: Movable<R>): AsyncGenerator<Item> {
    for await (const record of own.everything(kind, signal)) {
      const left = current(record);
      yield {
        key: keyOf(record),
        text: left && recordText(left),
        async counterpart() {
          const found = await other.counterpart(record, signal);
          const present = found && current(found);
          return { text: present && recordText(present), isPart: left === undefined || isPart(left, present) };
        },
        put: () => (left === undefined ? Promise.resolve() : other.adopt(left, signal)),
      };
    }
  }
  return { name, source: () => items(from, to), target: () => items(to, from) };
}

/** Whether the record of a device is a part of another: it was put without its row before the move was cut. */
function isPart(part: Readonly<{ kind: string }>, whole: Readonly<{ kind: string }> | undefined): boolean {
  if (!isDevice(part) || whole === undefined || !isDevice(whole) || part.row !== undefined) return false;
  const reports = new Set(whole.reports.map(recordText));
  return part.reports.every((report) => reports.has(recordText(report)));
}

function isDevice(record: Readonly<{ kind: string }>): record is DeviceRecord {
  return record.kind === "device" && "reports" in record;
}

async function assertEmpty({ name, target }: Kind, { id }: ClusterIdentity, signal: AbortSignal): Promise<void> {
  for await (const { key } of target()) {
    signal.throwIfAborted();
    throw new NebulaError(
      "failed_precondition",
      `the target is cluster ${id}, and holds data already (${name} "${key}"): use an empty folder or a keyspace that is not in use`,
    );
  }
}

/** Throws where the target holds anything that the source does not: a server ran on it, or on the source since. */
async function assertHoldsOnlyPart({ name, target }: Kind, { epoch }: ClusterIdentity, signal: AbortSignal): Promise<void> {
  await eachLimited(target(), AT_ONCE, async ({ key, text, counterpart }) => {
    signal.throwIfAborted();
    const found = await counterpart();
    if (found.text === text || found.isPart) return;
    const cause =
      epoch === UNFINISHED_EPOCH
        ? "the source changed since the move was cut"
        : "the cluster was moved there before, and one of the two was used since";
    throw new NebulaError(
      "failed_precondition",
      `the target holds other data of this cluster (${name} "${key}"): ${cause}; use an empty folder or a keyspace that is not in use`,
    );
  });
}

/** V4 */
async function copy({ name, source }: Kind, say: (line: string) => void, signal: AbortSignal): Promise<{ records: number; copied: number }> {
  let [records, copied] = [0, 0];
  await eachLimited(source(), AT_ONCE, async ({ text, counterpart, put }) => {
    signal.throwIfAborted();
    if (text === undefined) return;
    records++;
    if ((await counterpart()).text === text) return;
    await put();
    copied++;
  });
  say(`${name}: ${records}, of which ${copied} copied now`);
  return { records, copied };
}

/** Compares every record of each kind, in both directions; undefined where one differs. */
async function compareAll(kinds: readonly Kind[], signal: AbortSignal): Promise<readonly Moved[] | undefined> {
  const compared: Moved[] = [];
  for (const { name, source, target } of kinds) {
    const counts = [source, target].map(async (items) => {
      let records = 0;
      let differ = 0;
      await eachLimited(items(), AT_ONCE, async ({ text, counterpart }) => {
        signal.throwIfAborted();
        if (text === undefined) return;
        records++;
        if ((await counterpart()).text !== text) differ++;
      });
      return differ === 0 ? records : undefined;
    });
    const [inSource, inTarget] = await Promise.all(counts);
    if (inSource === undefined || inSource !== inTarget) return undefined;
    compared.push({ kind: name, records: inSource, copied: 0 });
  }
  return compared;
}

/** @param sinceMs older records have expired */
function currentAccess(record: AccessRecord, sinceMs: number): AccessRecord | undefined {
  return record.kind === "audit" && Number(auditKey(record.entry.id).at) < sinceMs ? undefined : record;
}

function currentDevice(
  { row, reports, ...record }: DeviceRecord,
  sinceMs: Readonly<{ reports: number; statuses: number }>,
): DeviceRecord | undefined {
  const left = reports.filter(({ report }) => receivedMs(report?.receivedAt) >= sinceMs.reports);
  const status = row !== undefined && isCurrent(row, sinceMs) ? row : undefined;
  return status === undefined && left.length === 0 ? undefined : { ...record, row: status, reports: left };
}

function isCurrent({ device, writtenAt, withoutToken, deleted }: StatusRow, sinceMs: Readonly<{ reports: number; statuses: number }>): boolean {
  if (deleted === true) return Number(writtenAt / 1000n) >= sinceMs.reports;
  return withoutToken !== true || receivedMs(device.report?.receivedAt) >= sinceMs.statuses;
}

/**
 * The audit log: rows by day and bucket, newest first, which end by their TTL.
 *
 * B1 Entries of a day are spread over BUCKETS partitions; a page merges them by (at, number).
 * B2 The number of an entry rises within a process, so entries of one millisecond have the order in which this process
 *    appended them; its random start makes two processes differ.
 */
import { randomInt } from "node:crypto";
import { clone, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type AuditEntry, AuditEntrySchema } from "../../../../gen/nebula/v1/audit_pb.ts";
import type { AuditFilter, AuditLog } from "../../access-store.ts";
import { auditId, auditKey } from "../../audit-id.ts";
import { decodePosition, encodePosition, refusedPosition } from "../../page.ts";
import type { StoreClient } from "../connection/client.ts";
import { bigint, bytes, integer, type Row } from "../connection/rows.ts";
import { ACCESS_PART } from "../schema/access-tables.ts";

const DAY_MS = 86_400_000;
const BUCKETS = 8;
/** Rows of a bucket that are read at a time, and rows that are read for one page. */
const MOST_AT_ONCE = 500;
const MOST_READ = 20_000;
/** The largest TTL of Cassandra, seconds: 20 years. */
const LONGEST_TTL_S = 630_720_000;
/** Above every number of an entry: those have 56 bits. */
const ABOVE_ALL = 2n ** 57n;

const PUT = "INSERT INTO audit (day, bucket, at, number, body) VALUES (?, ?, ?, ?, ?) USING TTL ?";
const PUT_DAY = "INSERT INTO audit_day (part, day) VALUES (?, ?) USING TTL ?";
const LIST_DAYS = "SELECT day FROM audit_day WHERE part = ? AND day <= ? AND day >= ?";
const ONE = "SELECT at, number, body FROM audit WHERE day = ? AND bucket IN ? AND at = ? AND number = ?";
const LIST = "SELECT at, number, body FROM audit WHERE day = ? AND bucket = ? AND (at, number) < (?, ?) AND (at) >= (?) LIMIT ?";

/** The position of an entry in the log. */
type Position = Readonly<{ at: bigint; number: bigint }>;
type Found = Position & Readonly<{ entry: AuditEntry }>;

export type AuditLogOptions = Readonly<{ client: StoreClient /** How long entries are kept, milliseconds. */; retentionMs: number }>;

/** Entries that were made elsewhere: with the ids that they have. */
type AuditRecords = Readonly<{
  auditEntry(id: string, signal?: AbortSignal): Promise<AuditEntry | undefined>;
  /** `nowMs`: what is left of the retention counts from there. */
  adoptEntry(entry: AuditEntry, nowMs: number, signal?: AbortSignal): Promise<void>;
}>;

export function createAuditLog({ client, retentionMs }: AuditLogOptions): AuditLog & AuditRecords {
  const ttl = Math.min(LONGEST_TTL_S, Math.max(1, Math.ceil(retentionMs / 1000)));
  const knownDays = new Set<number>();
  /** B2: 31 bits that rise, 24 that are this process's. */
  const ofProcess = BigInt(randomInt(2 ** 24));
  let count = BigInt(randomInt(2 ** 30));

  async function listDay(day: number): Promise<void> {
    if (knownDays.has(day)) return;
    await client.execute(
      { cql: PUT_DAY, params: [ACCESS_PART, day, Math.min(LONGEST_TTL_S, ttl + 2 * 86_400)] },
      { table: "audit_day", kind: "write" },
    );
    knownDays.clear(); // today's; entries of other days are rare
    knownDays.add(day);
  }

  /**
   * The next rows of a day below the position, in order, at most `atOnce` of each bucket; and whether those were all.
   */
  async function readDay(
    day: number,
    below: Position,
    from: bigint,
    atOnce: number,
    signal: AbortSignal | undefined,
  ): Promise<{ found: readonly Found[]; isEnd: boolean }> {
    const values = Array.from({ length: BUCKETS }, (_, bucket) => [day, bucket, below.at, below.number, from, atOnce]);
    const answers = await client.executeMany(LIST, values, { table: "audit", kind: "read", fetchSize: atOnce, signal });
    const buckets = answers.map((rows) => rows.map(foundOf));
    // what is below the last row of a bucket that has more may be out of order
    const ends = buckets.flatMap((rows) => (rows.length < atOnce ? [] : (rows.at(-1) ?? [])));
    const found = buckets
      .flat()
      .filter((row) => ends.every((end) => order(row, end) <= 0))
      .sort(order);
    return { found, isEnd: ends.length === 0 };
  }

  return {
    async appendAudit(entries, signal) {
      if (entries.length === 0) return;
      const rows = entries.map((given) => {
        const entry = clone(AuditEntrySchema, given);
        entry.id = ""; // given by the row
        const at = entry.at === undefined ? 0 : Math.max(0, Math.trunc(timestampMs(entry.at)));
        count++;
        const number = (count << 24n) | ofProcess;
        return [Math.floor(at / DAY_MS), Number(count % BigInt(BUCKETS)), BigInt(at), number, Buffer.from(toBinary(AuditEntrySchema, entry)), ttl];
      });
      for (const day of new Set(rows.map(([first]) => Number(first)))) await listDay(day);
      await client.executeMany(PUT, rows, { table: "audit", kind: "write", signal });
    },

    async listAudit(filter, { after, limit }, signal) {
      const until = { at: BigInt(filter.untilMs === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(filter.untilMs)), number: 0n };
      const given = after === undefined ? { at: BigInt(Number.MAX_SAFE_INTEGER), number: ABOVE_ALL } : positionOf(after);
      let below: Position = order(given, until) > 0 ? given : until;
      const from = BigInt(Math.max(0, Math.ceil(filter.fromMs ?? 0)));
      const bounds = [Math.min(Number(below.at / BigInt(DAY_MS)), 2 ** 31 - 1), Number(from / BigInt(DAY_MS))];
      const { rows: days } = await client.execute(
        { cql: LIST_DAYS, params: [ACCESS_PART, ...bounds] },
        { table: "audit_day", kind: "read", fetchSize: 5000, signal },
      );
      const items: Found[] = [];
      const atOnce = Math.min(limit + 1, MOST_AT_ONCE);
      let read = 0;
      for (const day of days.map((row) => integer(row, "day"))) {
        for (let isEnd = false; !isEnd; ) {
          const next = await readDay(day, below, from, atOnce, signal);
          isEnd = next.isEnd;
          items.push(...next.found.filter(({ entry }) => matches(entry, filter)));
          const end = items[limit - 1];
          if (items.length > limit && end !== undefined) return { items: items.slice(0, limit).map(({ entry }) => entry), next: pageAfter(end) };
          below = next.found.at(-1) ?? below;
          read += next.found.length;
          if (read >= MOST_READ) return { items: items.map(({ entry }) => entry), next: pageAfter(below) };
        }
      }
      return { items: items.map(({ entry }) => entry), next: undefined };
    },

    async expireAudit() {
      return 0;
    },

    async auditEntry(id, signal) {
      const { at, number } = auditKey(id);
      const params = [dayOf(at), Array.from({ length: BUCKETS }, (_, bucket) => bucket), at, number];
      const { rows } = await client.execute({ cql: ONE, params }, { table: "audit", kind: "read", signal });
      return rows.map(foundOf)[0]?.entry;
    },

    async adoptEntry(given, nowMs, signal) {
      const { at, number } = auditKey(given.id);
      const left = ttl - Math.max(0, Math.floor((nowMs - Number(at)) / 1000));
      if (left <= 0) return;
      const entry = clone(AuditEntrySchema, given);
      entry.id = "";
      await listDay(dayOf(at));
      const row = [dayOf(at), Number(number % BigInt(BUCKETS)), at, number, Buffer.from(toBinary(AuditEntrySchema, entry)), left];
      await client.execute({ cql: PUT, params: row }, { table: "audit", kind: "write", signal });
    },
  };
}

function dayOf(at: bigint): number {
  return Number(at / BigInt(DAY_MS));
}

/** Newest first. */
function order(one: Position, other: Position): number {
  if (one.at !== other.at) return one.at > other.at ? -1 : 1;
  return one.number === other.number ? 0 : one.number > other.number ? -1 : 1;
}

function matches(entry: AuditEntry, filter: AuditFilter): boolean {
  return (["who", "kind", "name", "outcome"] as const).every((field) => filter[field] === undefined || filter[field] === entry[field]);
}

function foundOf(row: Row): Found {
  const [at, number] = [bigint(row, "at"), bigint(row, "number")];
  const entry = fromBinary(AuditEntrySchema, bytes(row, "body"));
  entry.id = auditId({ at, number });
  return { at, number, entry };
}

function pageAfter({ at, number }: Position): string {
  return encodePosition("audit", [Number(at), number.toString(16)]);
}

function positionOf(token: string): Position {
  const [at, number, ...more] = decodePosition("audit", token);
  const isRight = typeof at === "number" && Number.isSafeInteger(at) && typeof number === "string" && /^[0-9a-f]{1,15}$/.test(number);
  if (!isRight || more.length > 0) throw refusedPosition(token);
  return { at: BigInt(at), number: BigInt(`0x${number}`) };
}

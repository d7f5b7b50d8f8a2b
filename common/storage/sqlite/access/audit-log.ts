import { clone, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type AuditEntry, AuditEntrySchema } from "../../../../gen/nebula/v1/audit_pb.ts";
import type { AuditFilter, AuditLog } from "../../access-store.ts";
import { auditId } from "../../audit-id.ts";
import { decodePosition, encodePosition, refusedPosition } from "../../page.ts";
import { bigint, bytes, integer, pageOfRows, type Row } from "../statements.ts";
import type { AccessDatabase } from "./access-database.ts";

/** How many entries one call of expireAudit removes at most: SQLite has the event loop to itself meanwhile. */
const EXPIRED_PER_CALL = 500;

/** The position of an entry in the log. A log that was moved here from another store has numbers above 2^53. */
type AuditPosition = Readonly<{ at: number; number: bigint }>;
type Query = Readonly<{ sql: string; parameters: readonly (string | number | bigint)[] }>;

/** The audit log. Its order, and that of the ids, is (at, number), so that a page of any time costs its own rows and no more. */
export function createAuditLog(database: AccessDatabase): AuditLog {
  const { prepare, attempt, change } = database;
  const insert = prepare("INSERT INTO audit (at, who, kind, name, outcome, body) VALUES (?, ?, ?, ?, ?, ?)");
  const expire = prepare(`DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE at < ? ORDER BY at LIMIT ${EXPIRED_PER_CALL})`);

  return {
    async appendAudit(entries) {
      if (entries.length === 0) return;
      change("append to the audit log", () => {
        for (const given of entries) {
          const entry = clone(AuditEntrySchema, given);
          entry.id = ""; // given by the row
          const at = entry.at === undefined ? 0 : Math.max(0, Math.trunc(timestampMs(entry.at)));
          insert.run(at, entry.who, entry.kind, entry.name, entry.outcome, toBinary(AuditEntrySchema, entry));
        }
      });
    },

    async listAudit(filter, { after, limit }) {
      const position = after === undefined ? undefined : auditPosition(after);
      return attempt("list the audit log", () => {
        const { sql, parameters } = auditListQuery(filter, position, limit + 1);
        return pageOfRows(prepare(sql).iterate(...parameters), limit, entryOf, (_, row) => {
          const { at, number } = positionOf(row);
          return encodePosition("audit", [at, number.toString(16)]);
        });
      });
    },

    async expireAudit(beforeMs) {
      return change("remove old audit entries", () => Number(expire.run(Math.floor(beforeMs)).changes));
    },
  };
}

/** On one index that holds a filter in the list's order: that of the filter which the fewest entries match, as a rule. */
function auditListQuery(filter: AuditFilter, after: AuditPosition | undefined, limit: number): Query {
  const index = (["name", "who", "kind", "outcome"] as const).find((column) => filter[column] !== undefined) ?? "time";
  const conditions: string[] = [];
  const parameters: (string | number | bigint)[] = [];
  for (const column of ["name", "who", "kind", "outcome"] as const) {
    const value = filter[column];
    if (value === undefined) continue;
    conditions.push(`${column} = ?`);
    parameters.push(value);
  }
  if (filter.fromMs !== undefined) {
    conditions.push("at >= ?");
    parameters.push(Math.ceil(filter.fromMs));
  }
  const until = filter.untilMs === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(filter.untilMs);
  // One upper bound, not two: SQLite might seek by the worse one.
  conditions.push("(at, number) < (?, ?)");
  parameters.push(...(after === undefined || after.at >= until ? [until, 0] : [after.at, after.number]), limit);
  return {
    sql: `SELECT at, number, body FROM audit INDEXED BY audit_by_${index} WHERE ${conditions.join(" AND ")} ORDER BY at DESC, number DESC LIMIT ?`,
    parameters,
  };
}

function auditPosition(token: string): AuditPosition {
  const [at, number, ...more] = decodePosition("audit", token);
  const isRight = typeof at === "number" && Number.isSafeInteger(at) && typeof number === "string" && /^[0-9a-f]{1,15}$/.test(number);
  if (!isRight || more.length > 0) throw refusedPosition(token);
  return { at, number: BigInt(`0x${number}`) };
}

function positionOf(row: Row): AuditPosition {
  return { at: integer(row, "at"), number: bigint(row, "number") };
}

/** Of the columns at, number and body. */
export function entryOf(row: Row): AuditEntry {
  const entry = fromBinary(AuditEntrySchema, bytes(row, "body"));
  entry.id = auditId(positionOf(row));
  return entry;
}

import type { StoredEnrolment } from "../../access-store.ts";
import { integer, isNull, type Row, text } from "../connection/rows.ts";
import { type AccessPartition, type Change, newWriter, oneOf, type ReadKind } from "./access-partition.ts";

type Signal = AbortSignal | undefined;

/** An enrolment token's static row, which is never removed: `ending` while it is being revoked, `ended` after that. */
export type EnrolmentRow = StoredEnrolment & Readonly<{ state: "in" | "ending" | "ended"; writer: string }>;

const COLUMNS = "id, state, token_hash, device_group, uses_left, expires_at, created_at, created_by, writer";
export const SELECT_ENROLMENT = `SELECT DISTINCT ${COLUMNS} FROM enrolment WHERE id = ?`;
const CREATE =
  "UPDATE enrolment SET state = ?, token_hash = ?, device_group = ?, uses_left = ?, expires_at = ?, created_at = ?, created_by = ?, writer = ? WHERE id = ? IF writer = ?";
const PUT_STATE = "UPDATE enrolment SET state = ?, writer = ? WHERE id = ? IF writer = ?";

export async function readEnrolment(partition: AccessPartition, id: string, kind: ReadKind, signal: Signal): Promise<EnrolmentRow | undefined> {
  const [row] = await partition.rows("enrolment", { cql: SELECT_ENROLMENT, params: [id] }, kind, signal);
  return row === undefined ? undefined : enrolmentRowOf(row);
}

/** Makes the row of an enrolment token whose id was never used. */
export function createEnrolmentRow(partition: AccessPartition, enrolment: StoredEnrolment, signal: Signal): Promise<Change> {
  const { id, tokenHash, deviceGroup, usesLeft, expiresAt, createdAt, createdBy } = enrolment;
  const writer = newWriter();
  const times = [BigInt(Math.trunc(expiresAt)), BigInt(Math.trunc(createdAt))];
  const params = ["in", tokenHash, deviceGroup, usesLeft, ...times, createdBy, writer, id, null];
  return partition.change("enrolment", [{ cql: CREATE, params }], isWriter(partition, id, writer, signal), signal);
}

/** Puts another state in place of exactly this row's. */
export function putEnrolmentState(partition: AccessPartition, row: EnrolmentRow, state: EnrolmentRow["state"], signal: Signal): Promise<Change> {
  const writer = newWriter();
  const query = { cql: PUT_STATE, params: [state, writer, row.id, row.writer] };
  return partition.change("enrolment", [query], isWriter(partition, row.id, writer, signal), signal);
}

/** Where others wrote since, the caller reads the row again. */
function isWriter(partition: AccessPartition, id: string, writer: string, signal: Signal): () => Promise<boolean> {
  return async () => (await readEnrolment(partition, id, "serial_read", signal))?.writer === writer;
}

export function enrolmentRowOf(row: Row): EnrolmentRow | undefined {
  if (isNull(row, "state")) return undefined;
  return {
    id: text(row, "id"),
    state: oneOf(text(row, "state"), ["in", "ending", "ended"]),
    tokenHash: text(row, "token_hash"),
    deviceGroup: text(row, "device_group"),
    usesLeft: integer(row, "uses_left"),
    expiresAt: integer(row, "expires_at"),
    createdAt: integer(row, "created_at"),
    createdBy: text(row, "created_by"),
    writer: text(row, "writer"),
  };
}

/** The enrolment token as callers see it. */
export function enrolmentOf({ id, tokenHash, deviceGroup, usesLeft, expiresAt, createdAt, createdBy }: EnrolmentRow): StoredEnrolment {
  return { id, tokenHash, deviceGroup, usesLeft, expiresAt, createdAt, createdBy };
}

/**
 * The partition of one entity.
 *
 * P1 The static cell `state` holds the whole current state, its revision included; `head` repeats the revision. Both are read in one statement. A read that finds
 *    the state below `head`, or below a revision that was announced, met a write that hangs: it is repeated at SERIAL, which completes that write.
 * P2 Every write here is a lightweight transaction: one conditional batch of `head`, `state` and the history row.
 */
import type { EntityKey, StoredEntity } from "../../config-store.ts";
import { pagesOf, type Query, type StoreClient } from "../connection/client.ts";
import { bigint, bool, bytes, integer, isNull, type Row, text } from "../connection/rows.ts";
import { actionOf, decodeMembers, decodeState, type EntityState, encodeState, NO_MEMBERS } from "./entity-state.ts";

const STATE = "SELECT DISTINCT kind, name, head, state FROM entity WHERE kind = ? AND name = ?";
const HEAD = "SELECT DISTINCT kind, name, head FROM entity WHERE kind = ? AND name = ?";
const HISTORY = "SELECT kind, name, revision, body, deleted, action, changed_at, changed_by FROM entity WHERE kind = ? AND name = ? AND revision < ?";
const WRITER = "SELECT writer FROM entity WHERE kind = ? AND name = ? AND revision = ?";
const OLDER = "SELECT revision FROM entity WHERE kind = ? AND name = ? AND revision < ? LIMIT 1";
const SIZES = "SELECT revision, bytes FROM entity WHERE kind = ? AND name = ?";
const PUT_STATE = "UPDATE entity SET head = ?, state = ? WHERE kind = ? AND name = ? IF head = ?";
const PUT_HISTORY =
  "INSERT INTO entity (kind, name, revision, body, deleted, action, changed_at, changed_by, writer, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const TRIM = "DELETE FROM entity WHERE kind = ? AND name = ? AND revision < ?";

/** Revisions that the history keeps, and bytes of their bodies. */
const KEPT_REVISIONS = 1000;
const KEPT_BYTES = 16 * 1024 * 1024;
/** The history is trimmed with the first revision of each hundred. */
const TRIM_EVERY = 100n;
const BODIES_AT_ONCE = 16;

/** The state cell of an entity, as it was read. */
export type StateCell = Readonly<{ entity: StoredEntity; cell: Uint8Array }>;

/** Reads the newest state of an entity, at `atLeast` or newer where the store has that (P1). */
export async function readState(
  client: StoreClient,
  key: EntityKey,
  atLeast: bigint,
  signal: AbortSignal | undefined,
): Promise<StateCell | undefined> {
  const { rows } = await client.execute({ cql: STATE, params: [key.kind, key.name] }, { table: "entity", kind: "read", signal });
  return settledState(client, key, rows[0], atLeast, signal);
}

/** As readState, for many names of a kind; the answers are in their order. */
export async function readStates(
  client: StoreClient,
  kind: EntityKey["kind"],
  names: readonly string[],
  atLeast: ReadonlyMap<string, bigint> | undefined,
  signal: AbortSignal | undefined,
): Promise<readonly (StateCell | undefined)[]> {
  const values = names.map((name) => [kind, name]);
  const answers = await client.executeMany(STATE, values, { table: "entity", kind: "read", signal });
  return Promise.all(names.map((name, index) => settledState(client, { kind, name }, answers[index]?.[0], atLeast?.get(name) ?? 0n, signal)));
}

/** Reads the newest revisions; 0n of names that were never used. */
export async function readHeads(client: StoreClient, keys: readonly EntityKey[], signal: AbortSignal | undefined): Promise<readonly bigint[]> {
  const values = keys.map(({ kind, name }) => [kind, name]);
  const answers = await client.executeMany(HEAD, values, { table: "entity", kind: "read", signal });
  return answers.map(([row]) => headOf(row));
}

/** Reads at SERIAL: completes a write that hangs. */
export async function readStateSerially(client: StoreClient, key: EntityKey, signal: AbortSignal | undefined): Promise<StateCell | undefined> {
  const { rows } = await client.execute({ cql: STATE, params: [key.kind, key.name] }, { table: "entity", kind: "serial_read", signal });
  return cellOf(key, rows[0]);
}

async function settledState(
  client: StoreClient,
  key: EntityKey,
  row: Row | undefined,
  atLeast: bigint,
  signal: AbortSignal | undefined,
): Promise<StateCell | undefined> {
  const found = cellOf(key, row);
  const revision = found?.entity.revision ?? 0n;
  if (revision >= atLeast && revision >= headOf(row)) return found;
  return readStateSerially(client, key, signal); // P1
}

/** The kept revisions older than `before`, newest first; a few bodies are read at a time. */
export async function* readHistory(
  client: StoreClient,
  { kind, name }: EntityKey,
  before: bigint,
  signal?: AbortSignal,
): AsyncGenerator<StoredEntity, void, void> {
  const query = { cql: HISTORY, params: [kind, name, before] };
  for await (const rows of pagesOf(client, query, { table: "entity", kind: "read", fetchSize: BODIES_AT_ONCE, signal })) {
    for (const row of rows) yield historyEntityOf({ kind, name }, row);
  }
}

/** The writer id of a revision, at SERIAL. `trimmed`: no row is there, and the history has none that is older, so it may have been there. */
export async function readWriter(
  client: StoreClient,
  { kind, name, revision }: EntityKey & { revision: bigint },
  signal: AbortSignal | undefined,
): Promise<string | "absent" | "trimmed"> {
  const options = { table: "entity", kind: "serial_read", signal } as const;
  const { rows } = await client.execute({ cql: WRITER, params: [kind, name, revision] }, options);
  const [row] = rows;
  if (row !== undefined && !isNull(row, "writer")) return text(row, "writer");
  const older = await client.execute({ cql: OLDER, params: [kind, name, revision] }, options);
  return older.rows.length > 0 ? "absent" : "trimmed";
}

/** P2: the statements of one write, the condition first. */
export function writeBatch(state: EntityState, expected: bigint, writer: string, trimBelow: bigint | undefined): readonly Query[] {
  const { kind, name, revision } = state.entity;
  return [
    { cql: PUT_STATE, params: [revision, encodeState(state), kind, name, expected === 0n ? null : expected] },
    historyRow(state.entity, writer),
    ...(trimBelow === undefined ? [] : [{ cql: TRIM, params: [kind, name, trimBelow] }]),
  ];
}

/** The statement that puts one revision into the history. */
export function historyRow(entity: StoredEntity, writer: string): Query {
  const { kind, name, revision, deleted, body, action, changedAt, changedBy } = entity;
  const values = [kind, name, revision, body, deleted, action, BigInt(Math.trunc(changedAt)), changedBy, writer, body.byteLength];
  return { cql: PUT_HISTORY, params: values };
}

/** Below which revision a write trims the history: of each hundredth revision, where there is anything to trim. */
export async function trimPoint(
  client: StoreClient,
  write: StoredEntity,
  expected: bigint,
  signal: AbortSignal | undefined,
): Promise<bigint | undefined> {
  const { kind, name, revision, body } = write;
  if (revision / TRIM_EVERY === expected / TRIM_EVERY) return undefined;
  let kept = 1;
  let size = body.byteLength;
  let oldest = revision;
  for await (const rows of pagesOf(client, { cql: SIZES, params: [kind, name] }, { table: "entity", kind: "read", signal })) {
    for (const row of rows) {
      if (isNull(row, "revision")) continue; // the statics of a partition without rows
      size += integer(row, "bytes");
      if (kept >= KEPT_REVISIONS || size > KEPT_BYTES) return oldest;
      kept++;
      oldest = bigint(row, "revision");
    }
  }
  return undefined;
}

export function stateOf(key: EntityKey, found: StateCell | undefined): EntityState | undefined {
  if (found === undefined) return undefined;
  return { entity: found.entity, members: key.kind === "device_group" ? decodeMembers(key, found.cell) : NO_MEMBERS };
}

function headOf(row: Row | undefined): bigint {
  return row === undefined || isNull(row, "head") ? 0n : bigint(row, "head");
}

function cellOf(key: EntityKey, row: Row | undefined): StateCell | undefined {
  if (row === undefined || isNull(row, "state")) return undefined;
  const cell = bytes(row, "state");
  return { entity: decodeState(key, cell), cell };
}

function historyEntityOf(key: EntityKey, row: Row): StoredEntity {
  return {
    ...key,
    revision: bigint(row, "revision"),
    deleted: bool(row, "deleted"),
    body: isNull(row, "body") ? new Uint8Array() : bytes(row, "body"),
    action: actionOf(row.action),
    changedAt: integer(row, "changed_at"),
    changedBy: text(row, "changed_by"),
  };
}

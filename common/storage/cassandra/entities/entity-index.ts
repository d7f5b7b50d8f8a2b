/**
 * The rows that lists and look-ups start from: which names there are, how else they are spelled, which device_groups name a member.
 *
 * X1 A row is a hint: its reader looks at the entity, and deletes a row that the entity does not bear out.
 * X2 Timestamps never come from a clock. A row is put with the revision about to be written, before that write; it is deleted with the revision that was
 *    written, or read, without it. So a late delete never hides a newer row, and a row that a lost write left does no harm.
 */
import type { EntityKey, EntityKind, GroupMembers, StoredEntity } from "../../config-store.ts";
import { pagesOf, type StoreClient } from "../connection/client.ts";
import { text } from "../connection/rows.ts";
import { type EntityState, NO_MEMBERS } from "./entity-state.ts";

const PUT = {
  entity_name: "INSERT INTO entity_name (kind, name) VALUES (?, ?) USING TIMESTAMP ?",
  entity_lower: "INSERT INTO entity_lower (kind, lower, name) VALUES (?, ?, ?) USING TIMESTAMP ?",
  member: "INSERT INTO member (kind, name, device_group) VALUES (?, ?, ?) USING TIMESTAMP ?",
} as const;

const DROP = {
  entity_name: "DELETE FROM entity_name USING TIMESTAMP ? WHERE kind = ? AND name = ?",
  entity_lower: "DELETE FROM entity_lower USING TIMESTAMP ? WHERE kind = ? AND lower = ? AND name = ?",
  member: "DELETE FROM member USING TIMESTAMP ? WHERE kind = ? AND name = ? AND device_group = ?",
} as const;

const NAMES = "SELECT name FROM entity_name WHERE kind = ? AND name > ?";
const SPELLINGS = "SELECT name FROM entity_lower WHERE kind = ? AND lower = ?";
const GROUPS = "SELECT device_group FROM member WHERE kind = ? AND name = ?";

type IndexTable = keyof typeof PUT;
type IndexRow = Readonly<{ table: IndexTable; key: readonly string[] }>;

/** A page of names of a kind, in their order, stale ones included. */
export async function readNames(
  client: StoreClient,
  kind: EntityKind,
  { after, limit, pageState, signal }: { after: string; limit: number; pageState: string | undefined; signal: AbortSignal | undefined },
): Promise<{ names: readonly string[]; next: string | undefined }> {
  const options = { table: "entity_name", kind: "read", fetchSize: limit, pageState, signal } as const;
  const { rows, next } = await client.execute({ cql: NAMES, params: [kind, after] }, options);
  return { names: rows.map((row) => text(row, "name")), next };
}

/** The spellings of a name, in upper and lower case, that are in use, stale ones included. */
export async function readSpellings(client: StoreClient, { kind, name }: EntityKey, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const { rows } = await client.execute({ cql: SPELLINGS, params: [kind, name.toLowerCase()] }, { table: "entity_lower", kind: "read", signal });
  return rows.map((row) => text(row, "name"));
}

/** The device_groups that name a member, in their order, stale ones included. */
export async function readGroups(
  client: StoreClient,
  kind: "app" | "cron_job",
  name: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const groups: string[] = [];
  for await (const rows of pagesOf(client, { cql: GROUPS, params: [kind, name] }, { table: "member", kind: "read", signal })) {
    for (const row of rows) groups.push(text(row, "device_group"));
  }
  return groups;
}

/** X2: puts the rows that `after` bears out and `before` does not, ahead of the write of `after`. */
export async function putRows(
  client: StoreClient,
  before: EntityState | undefined,
  after: EntityState,
  signal: AbortSignal | undefined,
): Promise<void> {
  await forEach(client, missingIn(rowsOf(before), rowsOf(after)), signal, ({ table, key }) => ({
    cql: PUT[table],
    params: [...key, after.entity.revision],
  }));
}

/** X2: deletes the rows that `before` bore out and `after`, which was written, does not. */
export async function dropRows(
  client: StoreClient,
  before: EntityState | undefined,
  after: EntityState,
  signal: AbortSignal | undefined,
): Promise<void> {
  await drop(client, missingIn(rowsOf(after), rowsOf(before)), after.entity.revision, signal);
}

/** X1: deletes the row of a name whose entity was read, and is deleted. */
export async function dropStaleName(client: StoreClient, { kind, name, revision }: StoredEntity, signal: AbortSignal | undefined): Promise<void> {
  await drop(client, nameRows({ kind, name }), revision, signal);
}

/** X1: deletes the row of a device_group that was read, and does not name the member. */
export async function dropStaleMember(
  client: StoreClient,
  member: { kind: "app" | "cron_job"; name: string },
  { name, revision }: StoredEntity,
  signal: AbortSignal | undefined,
): Promise<void> {
  await drop(client, [{ table: "member", key: [member.kind, member.name, name] }], revision, signal);
}

async function drop(client: StoreClient, rows: readonly IndexRow[], revision: bigint, signal: AbortSignal | undefined): Promise<void> {
  await forEach(client, rows, signal, ({ table, key }) => ({ cql: DROP[table], params: [revision, ...key] }));
}

async function forEach(
  client: StoreClient,
  rows: readonly IndexRow[],
  signal: AbortSignal | undefined,
  statement: (row: IndexRow) => { cql: string; params: readonly unknown[] },
): Promise<void> {
  for (const table of ["entity_name", "entity_lower", "member"] as const) {
    const statements = rows.filter((row) => row.table === table).map(statement);
    const [first] = statements;
    if (first === undefined) continue;
    await client.executeMany(
      first.cql,
      statements.map(({ params }) => params),
      { table, kind: "write", signal },
    );
  }
}

function rowsOf(state: EntityState | undefined): readonly IndexRow[] {
  if (state === undefined || state.entity.deleted) return [];
  const { kind, name } = state.entity;
  return [...nameRows({ kind, name }), ...memberRows(name, kind === "device_group" ? state.members : NO_MEMBERS)];
}

function nameRows({ kind, name }: EntityKey): readonly IndexRow[] {
  return [
    { table: "entity_name", key: [kind, name] },
    { table: "entity_lower", key: [kind, name.toLowerCase(), name] },
  ];
}

function memberRows(group: string, { apps, cronJobs }: GroupMembers): readonly IndexRow[] {
  return [
    ...[...new Set(apps)].map((name): IndexRow => ({ table: "member", key: ["app", name, group] })),
    ...[...new Set(cronJobs)].map((name): IndexRow => ({ table: "member", key: ["cron_job", name, group] })),
  ];
}

/** The rows of `wanted` that are not in `present`. */
function missingIn(present: readonly IndexRow[], wanted: readonly IndexRow[]): readonly IndexRow[] {
  const known = new Set(present.map(textOf));
  return wanted.filter((row) => !known.has(textOf(row)));
}

function textOf({ table, key }: IndexRow): string {
  return `${table}/${key.join("/")}`; // no name holds a slash
}

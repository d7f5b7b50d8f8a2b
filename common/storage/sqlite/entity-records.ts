import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { NebulaError } from "../../errors/nebula-error.ts";
import {
  CHANGE_ACTIONS,
  type ChangeAction,
  ENTITY_KINDS,
  type EntityKind,
  type EntityRecord,
  type StoredEntity,
  sortedMembers,
} from "../config-store.ts";
import { assertSame, type Movable } from "../movable.ts";
import { inTransaction } from "./open-database.ts";
import { attemptOf, bigint, bytes, integer, keysInPages, type Row, text } from "./statements.ts";

/** The columns of an entity, the same in `entity` and `history`. */
export const ENTITY_COLUMNS = "kind, name, revision, deleted, body, action, changed_at, changed_by";
/** Names that are read at a time. */
const NAMES = 200;

const attempt = attemptOf("config");

/** Entities as one store hands them to another. */
export function createEntityRecords(database: DatabaseSync): Movable<EntityRecord> {
  const prepare = (sql: string) => {
    const statement = database.prepare(sql);
    statement.setReadBigInts(true);
    return statement;
  };
  const names = prepare(`SELECT name FROM entity WHERE kind = ? AND name > ? ORDER BY name LIMIT ${NAMES}`);
  const newestOf = prepare(`SELECT ${ENTITY_COLUMNS} FROM entity WHERE kind = ? AND name = ?`);
  const historyOf = prepare(`SELECT ${ENTITY_COLUMNS} FROM history WHERE kind = ? AND name = ? ORDER BY revision DESC`);
  const membersOf = prepare("SELECT kind, name FROM member WHERE device_group = ? ORDER BY kind, name");
  const put = prepare(`INSERT INTO entity (${ENTITY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
  const putHistory = prepare(`INSERT INTO history (${ENTITY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
  const putMember = prepare("INSERT INTO member (kind, name, device_group) VALUES (?, ?, ?)");

  function read(kind: EntityKind, name: string): EntityRecord | undefined {
    const row = newestOf.get(kind, name);
    if (row === undefined) return undefined;
    const members = kind === "device_group" ? membersOf.all(name) : [];
    const named = (of: EntityKind) => members.filter((member) => member.kind === of).map((member) => text(member, "name"));
    return {
      kind,
      name,
      newest: entityOf(row),
      members: sortedMembers({ apps: named("app"), cronJobs: named("cron_job") }),
      history: historyOf.all(kind, name).map(entityOf),
    };
  }

  return {
    async *everything(kind, signal) {
      const page = (after: string) => attempt("list entities", () => names.all(kind, after)).map((row) => text(row, "name"));
      for (const name of keysInPages(page, NAMES)) {
        signal?.throwIfAborted();
        const record = attempt("read an entity", () => read(kind, name));
        if (record !== undefined) yield record;
      }
    },

    async counterpart({ kind, name }, signal) {
      signal?.throwIfAborted();
      return attempt("read an entity", () => read(kind, name));
    },

    async adopt(record, signal) {
      signal?.throwIfAborted();
      const { kind, name, newest, members, history } = record;
      attempt("write an entity", () =>
        inTransaction(database, () => {
          const found = read(kind, name);
          if (found !== undefined) return assertSame(found, record, `${kind} "${name}"`);
          put.run(...valuesOf(newest));
          for (const revision of history) putHistory.run(...valuesOf(revision));
          for (const app of members.apps) putMember.run("app", app, name);
          for (const cronJob of members.cronJobs) putMember.run("cron_job", cronJob, name);
        }),
      );
    },
  };
}

/** The values of ENTITY_COLUMNS. */
export function valuesOf({ kind, name, revision, deleted, body, action, changedAt, changedBy }: StoredEntity) {
  return [kind, name, revision, deleted ? 1 : 0, body, action, BigInt(Math.trunc(changedAt)), changedBy] as const;
}

/** Of a statement that reads integers as bigints. */
export function entityOf(row: Row): StoredEntity {
  return {
    kind: kindOf(row.kind),
    name: text(row, "name"),
    revision: bigint(row, "revision"),
    deleted: row.deleted !== 0n,
    body: bytes(row, "body"),
    action: actionOf(row.action),
    changedAt: integer(row, "changed_at"),
    changedBy: text(row, "changed_by"),
  };
}

function kindOf(value: SQLOutputValue | undefined): EntityKind {
  return oneOf(ENTITY_KINDS, value, "kind");
}

function actionOf(value: SQLOutputValue | undefined): ChangeAction {
  return oneOf(CHANGE_ACTIONS, value, "action");
}

function oneOf<T extends string>(known: readonly T[], value: SQLOutputValue | undefined, column: string): T {
  const found = known.find((one) => one === value);
  if (found === undefined)
    throw new NebulaError("failed_precondition", `the store holds an unknown ${column}, ${String(value)}: it is of a newer version`);
  return found;
}

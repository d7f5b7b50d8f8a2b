import { randomBytes } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { invalidArgument } from "../../errors/nebula-error.ts";
import { pageTokenViolation } from "../../validation/list-request.ts";
import { isName } from "../../validation/names.ts";
import {
  assertRevision,
  type ClusterIdentity,
  type ConfigStore,
  type EntityKey,
  type EntityKind,
  type EntityRecord,
  type EntityWrite,
  type HistoryPage,
  MAX_REVISION,
  type ReadManyOptions,
  type ReadOptions,
  raisedEpoch,
  type StoredEntity,
  type WriteOutcome,
} from "../config-store.ts";
import type { Movable } from "../movable.ts";
import type { Page } from "../page.ts";
import { CONFIG_MIGRATIONS } from "./config-schema.ts";
import { ENTITY_COLUMNS as COLUMNS, createEntityRecords, entityOf, valuesOf } from "./entity-records.ts";
import { inTransaction, knownOrUnknown, openDatabase } from "./open-database.ts";
import { rewriteBodies } from "./rewrite-bodies.ts";
import { attemptOf, bigint, optional, pageOfRows, text } from "./statements.ts";

/** Revisions of a name that the history keeps. */
const KEPT_REVISIONS = 1000n;
const attempt = attemptOf("config");

/**
 * Opens the config store in one SQLite file.
 * @param path a file in an existing folder, or ":memory:"
 */
export async function openSqliteConfigStore({ path }: { path: string }): Promise<ConfigStore> {
  return new SqliteConfigStore(openDatabase(path, CONFIG_MIGRATIONS));
}

class SqliteConfigStore implements ConfigStore {
  readonly #database: DatabaseSync;
  readonly records: Movable<EntityRecord>;
  #cluster: ClusterIdentity;
  readonly #get: StatementSync;
  readonly #revision: StatementSync;
  readonly #list: StatementSync;
  readonly #names: StatementSync;
  readonly #namesInOtherCase: StatementSync;
  readonly #groupsNaming: StatementSync;
  readonly #history: StatementSync;
  readonly #put: StatementSync;
  readonly #putHistory: StatementSync;
  readonly #trimHistory: StatementSync;
  readonly #removeMembers: StatementSync;
  readonly #putMember: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.records = createEntityRecords(database);
    database.prepare("INSERT OR IGNORE INTO cluster (only, id, epoch) VALUES (1, ?, 1)").run(randomBytes(16).toString("hex")); // of a new store
    this.#cluster = readCluster(database);
    const prepare = (sql: string): StatementSync => {
      const statement = database.prepare(sql);
      statement.setReadBigInts(true);
      return statement;
    };
    this.#get = prepare(`SELECT ${COLUMNS} FROM entity WHERE kind = ? AND name = ?`);
    this.#revision = prepare("SELECT revision FROM entity WHERE kind = ? AND name = ?");
    this.#list = prepare(`SELECT ${COLUMNS} FROM entity WHERE kind = ? AND name > ? AND deleted = 0 ORDER BY name LIMIT ?`);
    this.#names = prepare("SELECT name FROM entity WHERE kind = ? AND name > ? AND deleted = 0 ORDER BY name LIMIT ?");
    this.#namesInOtherCase = prepare(
      "SELECT name FROM entity WHERE kind = ?1 AND name = ?2 COLLATE NOCASE AND name <> ?2 AND deleted = 0 ORDER BY name LIMIT 10",
    );
    this.#groupsNaming = prepare("SELECT device_group FROM member WHERE kind = ? AND name = ? ORDER BY device_group");
    this.#history = prepare(`SELECT ${COLUMNS} FROM history WHERE kind = ? AND name = ? AND revision < ? ORDER BY revision DESC LIMIT ?`);
    this.#put = prepare(`INSERT OR REPLACE INTO entity (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
    this.#putHistory = prepare(`INSERT INTO history (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
    this.#trimHistory = prepare(
      `DELETE FROM history WHERE kind = ?1 AND name = ?2 AND revision <
         (SELECT revision FROM history WHERE kind = ?1 AND name = ?2 ORDER BY revision DESC LIMIT 1 OFFSET ?3)`,
    );
    this.#removeMembers = prepare("DELETE FROM member WHERE device_group = ?");
    this.#putMember = prepare("INSERT OR IGNORE INTO member (kind, name, device_group) VALUES (?, ?, ?)");
  }

  get cluster(): ClusterIdentity {
    return this.#cluster;
  }

  async readCluster(signal?: AbortSignal): Promise<ClusterIdentity> {
    signal?.throwIfAborted();
    return attempt("read the cluster", () => readCluster(this.#database));
  }

  async get({ kind, name }: EntityKey, { signal }: ReadOptions = {}): Promise<StoredEntity | undefined> {
    signal?.throwIfAborted();
    return attempt("read an entity", () => this.#read(kind, name));
  }

  async getMany(kind: EntityKind, names: readonly string[], { signal }: ReadManyOptions = {}): Promise<ReadonlyMap<string, StoredEntity>> {
    signal?.throwIfAborted();
    return attempt("read entities", () => {
      const found = new Map<string, StoredEntity>();
      for (const name of names) {
        const entity = this.#read(kind, name);
        if (entity !== undefined) found.set(name, entity);
      }
      return found;
    });
  }

  async revisions(keys: readonly EntityKey[], signal?: AbortSignal): Promise<readonly bigint[]> {
    signal?.throwIfAborted();
    return attempt("read revisions", () => keys.map(({ kind, name }) => this.#storedRevision(kind, name)));
  }

  async write(write: EntityWrite, signal?: AbortSignal): Promise<WriteOutcome> {
    assertRevision(write);
    signal?.throwIfAborted();
    return knownOrUnknown(() => attempt("write an entity", () => inTransaction(this.#database, () => this.#write(write))));
  }

  async list(kind: EntityKind, { after = "", limit }: { after?: string; limit: number }, signal?: AbortSignal): Promise<Page<StoredEntity>> {
    signal?.throwIfAborted();
    if (after !== "" && !isName(after)) throw invalidArgument([pageTokenViolation(after)]);
    return attempt("list entities", () => {
      return pageOfRows(this.#list.iterate(kind, after, limit + 1), limit, entityOf, ({ name }) => name, bodyBytes);
    });
  }

  async names(kind: EntityKind, { after, limit }: { after: string; limit: number }, signal?: AbortSignal): Promise<readonly string[]> {
    signal?.throwIfAborted();
    return attempt("list names", () => this.#names.all(kind, after, limit).map((row) => text(row, "name")));
  }

  async namesInOtherCase({ kind, name }: EntityKey, signal?: AbortSignal): Promise<readonly string[]> {
    signal?.throwIfAborted();
    return attempt("read names", () => this.#namesInOtherCase.all(kind, name).map((row) => text(row, "name")));
  }

  async groupsNaming(kind: "app" | "cron_job", name: string, signal?: AbortSignal): Promise<readonly string[]> {
    signal?.throwIfAborted();
    return attempt("read device_groups", () => this.#groupsNaming.all(kind, name).map((row) => text(row, "device_group")));
  }

  async history({ kind, name }: EntityKey, page: { before?: bigint; limit: number }, signal?: AbortSignal): Promise<HistoryPage> {
    const { before = MAX_REVISION, limit } = page;
    signal?.throwIfAborted();
    return attempt("read the history", () => {
      return pageOfRows(this.#history.iterate(kind, name, before, limit + 1), limit, entityOf, ({ revision }) => revision, bodyBytes);
    });
  }

  async rewriteBodies(rewrite: (stored: StoredEntity) => Uint8Array | undefined): Promise<number> {
    return attempt("rewrite bodies", () => rewriteBodies(this.#database, ["entity", "history"], COLUMNS, (row) => rewrite(entityOf(row))));
  }

  async raiseEpoch(nowMs: number): Promise<ClusterIdentity> {
    return attempt("raise the epoch", () => {
      const epoch = raisedEpoch(this.#cluster.epoch, nowMs);
      this.#database.prepare("UPDATE cluster SET epoch = ? WHERE only = 1").run(epoch);
      this.#cluster = { id: this.#cluster.id, epoch };
      return this.#cluster;
    });
  }

  async markRunning(): Promise<void> {}

  async runningComponents(): Promise<readonly string[]> {
    return [];
  }

  async becomeCluster({ id, epoch }: ClusterIdentity): Promise<void> {
    attempt("take the identity of a cluster", () => this.#database.prepare("UPDATE cluster SET id = ?, epoch = ? WHERE only = 1").run(id, epoch));
    this.#cluster = { id, epoch };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #write({ expected, members, ...write }: EntityWrite): WriteOutcome {
    const { kind, name } = write;
    const stored = this.#storedRevision(kind, name);
    if (stored !== expected) return { kind: "conflict", revision: stored };
    const values = valuesOf(write);
    this.#put.run(...values);
    this.#putHistory.run(...values);
    this.#trimHistory.run(kind, name, KEPT_REVISIONS - 1n);
    if (kind === "device_group") {
      this.#removeMembers.run(name);
      if (!write.deleted) {
        for (const app of members?.apps ?? []) this.#putMember.run("app", app, name);
        for (const cronJob of members?.cronJobs ?? []) this.#putMember.run("cron_job", cronJob, name);
      }
    }
    return { kind: "written" };
  }

  #read(kind: EntityKind, name: string): StoredEntity | undefined {
    const row = this.#get.get(kind, name);
    return row === undefined ? undefined : entityOf(row);
  }

  #storedRevision(kind: EntityKind, name: string): bigint {
    return optional(this.#revision.get(kind, name), (row) => bigint(row, "revision")) ?? 0n;
  }
}

function readCluster(database: DatabaseSync): ClusterIdentity {
  const statement = database.prepare("SELECT id, epoch FROM cluster WHERE only = 1");
  statement.setReadBigInts(true);
  const row = statement.get() ?? {};
  return { id: text(row, "id"), epoch: bigint(row, "epoch") };
}

function bodyBytes({ body }: StoredEntity): number {
  return body.byteLength;
}

import { randomBytes } from "node:crypto";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { invalidArgument, messageOf, NebulaError } from "../../errors/nebula-error.ts";
import { isName } from "../../validation/name.ts";
import { pageTokenViolation } from "../../validation/page.ts";
import type {
  ChangeAction,
  ClusterIdentity,
  ConfigStore,
  EntityKey,
  EntityKind,
  EntityWrite,
  Page,
  StoredEntity,
  WriteOutcome,
} from "../config-store.ts";
import { CONFIG_MIGRATIONS } from "./config-schema.ts";
import { inTransaction, openDatabase } from "./open-database.ts";
import { rewriteBodies } from "./rewrite-bodies.ts";
import { type Row, text } from "./rows.ts";

/** Revisions of a name that the history keeps. */
const KEPT_REVISIONS = 1000n;
/** A page ends early when its bodies reach this many bytes: a gRPC client takes 4 MiB unless told otherwise, and nothing else runs while it is read. */
const PAGE_BYTES = 2 * 1024 * 1024;
/** The highest revision that the file can hold. */
const MAX_REVISION = 2n ** 63n - 1n;

const COLUMNS = "kind, name, revision, deleted, body, action, changed_at, changed_by";

/**
 * Opens the config store in one SQLite file.
 * @param path a file in an existing folder, or ":memory:"
 */
export async function openSqliteConfigStore({ path }: { path: string }): Promise<ConfigStore> {
  return new SqliteConfigStore(openDatabase(path, CONFIG_MIGRATIONS));
}

class SqliteConfigStore implements ConfigStore {
  readonly #database: DatabaseSync;
  #cluster: ClusterIdentity;
  readonly #get: StatementSync;
  readonly #revision: StatementSync;
  readonly #list: StatementSync;
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
    this.#cluster = readCluster(database);
    const prepare = (sql: string): StatementSync => {
      const statement = database.prepare(sql);
      statement.setReadBigInts(true);
      return statement;
    };
    this.#get = prepare(`SELECT ${COLUMNS} FROM entity WHERE kind = ? AND name = ?`);
    this.#revision = prepare("SELECT revision FROM entity WHERE kind = ? AND name = ?");
    this.#list = prepare(`SELECT ${COLUMNS} FROM entity WHERE kind = ? AND name > ? AND deleted = 0 ORDER BY name LIMIT ?`);
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

  async get({ kind, name }: EntityKey): Promise<StoredEntity | undefined> {
    return guarded(() => this.#read(kind, name));
  }

  async getMany(kind: EntityKind, names: readonly string[]): Promise<ReadonlyMap<string, StoredEntity>> {
    return guarded(() => {
      const found = new Map<string, StoredEntity>();
      for (const name of names) {
        const entity = this.#read(kind, name);
        if (entity !== undefined) found.set(name, entity);
      }
      return found;
    });
  }

  async revisions(keys: readonly EntityKey[]): Promise<readonly bigint[]> {
    return guarded(() => keys.map(({ kind, name }) => this.#storedRevision(kind, name)));
  }

  async write(write: EntityWrite): Promise<WriteOutcome> {
    const { kind, name, expected, revision, members } = write;
    if (revision <= expected) throw new NebulaError("internal", `revision ${revision} of ${kind} ${name} is not above ${expected}`);
    if (revision > MAX_REVISION)
      throw new NebulaError("invalid_argument", `revision ${revision} of ${kind} ${name}: the store takes at most ${MAX_REVISION}`);
    return guarded(() =>
      inTransaction(this.#database, (): WriteOutcome => {
        const stored = this.#storedRevision(kind, name);
        if (stored !== expected) return { kind: "conflict", revision: stored };
        const values = [kind, name, revision, write.deleted ? 1 : 0, write.body, write.action, BigInt(Math.trunc(write.changedAt)), write.changedBy];
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
      }),
    );
  }

  async list(kind: EntityKind, { after = "", limit }: { after?: string; limit: number }): Promise<Page<StoredEntity>> {
    if (after !== "" && !isName(after)) throw invalidArgument([pageTokenViolation(after)]);
    return guarded(() => {
      const items: StoredEntity[] = [];
      let bytes = 0;
      for (const row of this.#list.iterate(kind, after, limit + 1)) {
        // the row after the page's last one is read only to know that there is one
        if (items.length === limit || bytes >= PAGE_BYTES) return { items, next: items.at(-1)?.name };
        const entity = entityOf(row);
        items.push(entity);
        bytes += entity.body.byteLength;
      }
      return { items, next: undefined };
    });
  }

  async namesInOtherCase({ kind, name }: EntityKey): Promise<readonly string[]> {
    return guarded(() => this.#namesInOtherCase.all(kind, name).map((row) => text(row, "name")));
  }

  async groupsNaming(kind: "app" | "cron_job", name: string): Promise<readonly string[]> {
    return guarded(() => this.#groupsNaming.all(kind, name).map((row) => String(row.device_group)));
  }

  async history({ kind, name }: EntityKey, { before = MAX_REVISION, limit }: { before?: bigint; limit: number }): Promise<readonly StoredEntity[]> {
    return guarded(() => this.#history.all(kind, name, before, limit).map(entityOf));
  }

  async rewriteBodies(rewrite: (stored: StoredEntity) => Uint8Array | undefined): Promise<number> {
    return guarded(() => rewriteBodies(this.#database, ["entity", "history"], COLUMNS, (row) => rewrite(entityOf(row))));
  }

  async raiseEpoch(nowMs: number): Promise<ClusterIdentity> {
    return guarded(() => {
      const seconds = BigInt(Math.floor(nowMs / 1000));
      const next = this.#cluster.epoch + 1n;
      const epoch = next > seconds ? next : seconds;
      this.#database.prepare("UPDATE cluster SET epoch = ? WHERE only = 1").run(epoch);
      this.#cluster = { id: this.#cluster.id, epoch };
      return this.#cluster;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #read(kind: EntityKind, name: string): StoredEntity | undefined {
    const row = this.#get.get(kind, name);
    return row === undefined ? undefined : entityOf(row);
  }

  #storedRevision(kind: EntityKind, name: string): bigint {
    return bigintOf(this.#revision.get(kind, name)?.revision ?? 0n);
  }
}

/** The identity of the store; made here when the store is new. */
function readCluster(database: DatabaseSync): ClusterIdentity {
  database.prepare("INSERT OR IGNORE INTO cluster (only, id, epoch) VALUES (1, ?, 1)").run(randomBytes(16).toString("hex"));
  const statement = database.prepare("SELECT id, epoch FROM cluster WHERE only = 1");
  statement.setReadBigInts(true);
  const row = statement.get() ?? {};
  return { id: String(row.id), epoch: bigintOf(row.epoch) };
}

function entityOf(row: Row): StoredEntity {
  const { body } = row;
  return {
    kind: kindOf(row.kind),
    name: String(row.name),
    revision: bigintOf(row.revision),
    deleted: row.deleted !== 0n,
    body: body instanceof Uint8Array ? body : new Uint8Array(),
    action: actionOf(row.action),
    changedAt: Number(row.changed_at),
    changedBy: String(row.changed_by),
  };
}

const KINDS: readonly EntityKind[] = ["app", "cron_job", "device_group"];
const ACTIONS: readonly ChangeAction[] = ["create", "update", "delete", "start", "stop", "restart", "prune"];

function kindOf(value: SQLOutputValue | undefined): EntityKind {
  return oneOf(KINDS, value, "kind");
}

function actionOf(value: SQLOutputValue | undefined): ChangeAction {
  return oneOf(ACTIONS, value, "action");
}

function oneOf<T extends string>(known: readonly T[], value: SQLOutputValue | undefined, column: string): T {
  const found = known.find((one) => one === value);
  if (found === undefined)
    throw new NebulaError("failed_precondition", `the store holds an unknown ${column}, ${String(value)}: it is of a newer version`);
  return found;
}

function bigintOf(value: SQLOutputValue | undefined): bigint {
  return typeof value === "bigint" ? value : BigInt(typeof value === "number" ? value : 0);
}

/** Turns SQLite's errors (a full disk, a locked or damaged file) into `unavailable`; the transaction they ended in was rolled back. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof NebulaError) throw error;
    throw new NebulaError("unavailable", `the store answers: ${messageOf(error)}`, { cause: error });
  }
}

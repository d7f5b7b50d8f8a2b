import type { Clock } from "../../../clock/clock.ts";
import { invalidArgument, NebulaError } from "../../../errors/nebula-error.ts";
import { pageTokenViolation } from "../../../validation/list-request.ts";
import { isName } from "../../../validation/names.ts";
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
  type RunningMark,
  raisedEpoch,
  type StoredEntity,
  type WriteOutcome,
} from "../../config-store.ts";
import type { Movable } from "../../movable.ts";
import { PAGE_BYTES, type Page } from "../../page.ts";
import type { StatementKind, StoreClient } from "../connection/client.ts";
import { bigint, text } from "../connection/rows.ts";
import { CLUSTER_ROW, RUNNING_PART } from "../schema/config-tables.ts";
import { dropStaleMember, dropStaleName, readGroups, readNames, readSpellings } from "./entity-index.ts";
import { createEntityRecords } from "./entity-records.ts";
import { readHeads, readHistory, readState, readStates, stateOf } from "./entity-rows.ts";
import { rebuildIndexes, rewriteAllBodies } from "./offline-entities.ts";
import { writeEntity } from "./write-entity.ts";

/** Entities that are read at a time for a page or a look-up: what is in memory beside a page is bounded by them. */
const CHUNK = 100;
const MOST_SPELLINGS = 10;

export type CassandraConfigStoreOptions = Readonly<{ client: StoreClient; clock: Clock }>;

/**
 * The config store in a keyspace. The client stays the caller's to close.
 * @throws NebulaError failed_precondition where the keyspace has no cluster yet
 */
export async function openCassandraConfigStore(options: CassandraConfigStoreOptions, signal?: AbortSignal): Promise<ConfigStore> {
  return new CassandraConfigStore(options, await readClusterRow(options.client, signal));
}

class CassandraConfigStore implements ConfigStore {
  readonly #client: StoreClient;
  readonly #clock: Clock;
  readonly records: Movable<EntityRecord>;
  #cluster: ClusterIdentity;

  constructor({ client, clock }: CassandraConfigStoreOptions, cluster: ClusterIdentity) {
    this.#client = client;
    this.#clock = clock;
    this.records = createEntityRecords(client);
    this.#cluster = cluster;
  }

  get cluster(): ClusterIdentity {
    return this.#cluster;
  }

  async readCluster(signal?: AbortSignal): Promise<ClusterIdentity> {
    return readClusterRow(this.#client, signal);
  }

  async get({ kind, name }: EntityKey, { atLeast = 0n, signal }: ReadOptions = {}): Promise<StoredEntity | undefined> {
    return (await readState(this.#client, { kind, name }, atLeast, signal))?.entity;
  }

  async getMany(kind: EntityKind, names: readonly string[], { atLeast, signal }: ReadManyOptions = {}): Promise<ReadonlyMap<string, StoredEntity>> {
    signal?.throwIfAborted();
    const found = await readStates(this.#client, kind, names, atLeast, signal);
    return new Map(found.flatMap((cell) => (cell === undefined ? [] : [[cell.entity.name, cell.entity]])));
  }

  async revisions(keys: readonly EntityKey[], signal?: AbortSignal): Promise<readonly bigint[]> {
    signal?.throwIfAborted();
    return readHeads(this.#client, keys, signal);
  }

  async write(write: EntityWrite, signal?: AbortSignal): Promise<WriteOutcome> {
    assertRevision(write);
    return writeEntity({ client: this.#client, clock: this.#clock }, write, signal);
  }

  async list(kind: EntityKind, { after = "", limit }: { after?: string; limit: number }, signal?: AbortSignal): Promise<Page<StoredEntity>> {
    if (after !== "" && !isName(after)) throw invalidArgument([pageTokenViolation(after)]);
    const items: StoredEntity[] = [];
    let size = 0;
    const chunk = Math.min(limit + 1, CHUNK);
    for (let pageState: string | undefined; ; ) {
      const { names, next } = await readNames(this.#client, kind, { after, limit: chunk, pageState, signal });
      for (const entity of await this.#present(kind, names, signal)) {
        // the entity after the page's last one is read only to know that there is one
        if (items.length === limit || size >= PAGE_BYTES) return { items, next: items.at(-1)?.name };
        items.push(entity);
        size += entity.body.byteLength;
      }
      if (next === undefined) return { items, next: undefined };
      pageState = next;
    }
  }

  async names(kind: EntityKind, { after, limit }: { after: string; limit: number }, signal?: AbortSignal): Promise<readonly string[]> {
    signal?.throwIfAborted();
    return (await readNames(this.#client, kind, { after, limit, pageState: undefined, signal })).names;
  }

  async namesInOtherCase({ kind, name }: EntityKey, signal?: AbortSignal): Promise<readonly string[]> {
    const others = (await readSpellings(this.#client, { kind, name }, signal)).filter((spelling) => spelling !== name);
    const present = await this.#present(kind, others, signal);
    return present.map((entity) => entity.name).slice(0, MOST_SPELLINGS);
  }

  async groupsNaming(kind: "app" | "cron_job", name: string, signal?: AbortSignal): Promise<readonly string[]> {
    const groups = await readGroups(this.#client, kind, name, signal);
    const naming: string[] = [];
    for (let from = 0; from < groups.length; from += CHUNK) {
      const found = await readStates(this.#client, "device_group", groups.slice(from, from + CHUNK), undefined, signal);
      for (const cell of found) {
        const state = cell && stateOf(cell.entity, cell);
        if (state === undefined) continue; // the group is about to be made, or was not
        const members = kind === "app" ? state.members.apps : state.members.cronJobs;
        if (members.includes(name)) naming.push(state.entity.name);
        else await dropStaleMember(this.#client, { kind, name }, state.entity, signal);
      }
    }
    return naming;
  }

  async history(key: EntityKey, page: { before?: bigint; limit: number }, signal?: AbortSignal): Promise<HistoryPage> {
    const { before = MAX_REVISION, limit } = page;
    const items: StoredEntity[] = [];
    let size = 0;
    for await (const entity of readHistory(this.#client, key, before, signal)) {
      if (items.length === limit || size >= PAGE_BYTES) return { items, next: items.at(-1)?.revision };
      items.push(entity);
      size += entity.body.byteLength;
    }
    return { items, next: undefined };
  }

  async rewriteBodies(rewrite: (stored: StoredEntity) => Uint8Array | undefined): Promise<number> {
    return rewriteAllBodies(this.#client, rewrite);
  }

  async raiseEpoch(nowMs: number): Promise<ClusterIdentity> {
    await rebuildIndexes(this.#client);
    this.#cluster = await raiseClusterEpoch(this.#client, nowMs);
    return this.#cluster;
  }

  async markRunning({ id, component }: RunningMark, seconds: number, signal?: AbortSignal): Promise<void> {
    const query = seconds === 0 ? { cql: UNMARK, params: [RUNNING_PART, id] } : { cql: MARK, params: [RUNNING_PART, id, component, seconds] };
    await this.#client.execute(query, { table: "running", kind: "write", signal });
  }

  async runningComponents(signal?: AbortSignal): Promise<readonly string[]> {
    const { rows } = await this.#client.execute({ cql: SELECT_RUNNING, params: [RUNNING_PART] }, { table: "running", kind: "read", signal });
    return rows.map((row) => text(row, "component")).sort();
  }

  async becomeCluster(identity: ClusterIdentity): Promise<void> {
    await replaceCluster(this.#client, identity);
    this.#cluster = identity;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** The entities of these names that are not deleted; rows of others are stale. */
  async #present(kind: EntityKind, names: readonly string[], signal: AbortSignal | undefined): Promise<readonly StoredEntity[]> {
    const present: StoredEntity[] = [];
    for (const cell of await readStates(this.#client, kind, names, undefined, signal)) {
      if (cell === undefined) continue; // about to be made, or was not
      if (cell.entity.deleted) await dropStaleName(this.#client, cell.entity, signal);
      else present.push(cell.entity);
    }
    return present;
  }
}

const MARK = "INSERT INTO running (part, id, component) VALUES (?, ?, ?) USING TTL ?";
const UNMARK = "DELETE FROM running WHERE part = ? AND id = ?";
const SELECT_RUNNING = "SELECT component FROM running WHERE part = ?";

const SELECT_CLUSTER = "SELECT id, epoch FROM cluster WHERE only = ?";
const RAISE_EPOCH = "UPDATE cluster SET epoch = ? WHERE only = ? IF epoch = ?";

const REPLACE_CLUSTER = "UPDATE cluster SET id = ?, epoch = ? WHERE only = ? IF id = ? AND epoch = ?";

/** The cluster's identity. Throws `failed_precondition` if the store has no cluster: `nebula migrate` makes it. */
async function readClusterRow(client: StoreClient, signal?: AbortSignal, kind: StatementKind = "read"): Promise<ClusterIdentity> {
  const { rows } = await client.execute({ cql: SELECT_CLUSTER, params: [CLUSTER_ROW] }, { table: "cluster", kind, signal });
  const [row] = rows;
  if (row === undefined) throw new NebulaError("failed_precondition", "the store has no cluster yet: run nebula migrate");
  return { id: text(row, "id"), epoch: bigint(row, "epoch") };
}

/** Raises the epoch. Rejects with `unavailable` where the outcome is unknown: it can be repeated. */
async function raiseClusterEpoch(client: StoreClient, nowMs: number): Promise<ClusterIdentity> {
  const { id, epoch: stored } = await readClusterRow(client, undefined, "serial_read");
  const epoch = raisedEpoch(stored, nowMs);
  const outcome = await client.conditional("cluster", [{ cql: RAISE_EPOCH, params: [epoch, CLUSTER_ROW, stored] }]);
  if (outcome.kind === "applied") return { id, epoch };
  if (outcome.kind === "refused" && bigint(outcome.row, "epoch") === epoch && outcome.repeated) return { id, epoch };
  throw new NebulaError("unavailable", "the epoch may have been raised, by this process or another: run the command again");
}

/** Gives the store another identity. Rejects with `unavailable` where the outcome is unknown: it can be repeated. */
async function replaceCluster(client: StoreClient, { id, epoch }: ClusterIdentity): Promise<void> {
  const stored = await readClusterRow(client, undefined, "serial_read");
  if (stored.id === id && stored.epoch === epoch) return;
  const outcome = await client.conditional("cluster", [{ cql: REPLACE_CLUSTER, params: [id, epoch, CLUSTER_ROW, stored.id, stored.epoch] }]);
  if (outcome.kind === "applied") return;
  const now = await readClusterRow(client, undefined, "serial_read");
  if (now.id === id && now.epoch === epoch) return;
  throw new NebulaError("unavailable", "the store did not say whether it has the identity of the cluster: run the command again");
}

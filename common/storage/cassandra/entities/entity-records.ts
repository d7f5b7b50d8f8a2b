/**
 * Entities as one store hands them to another, while no component runs.
 *
 * T1 The state of an entity is written last, in one batch with its newest revision: where it is stored, its history and its index rows are there.
 */
import { randomUUID } from "node:crypto";
import { type EntityKey, type EntityRecord, type StoredEntity, sortedMembers } from "../../config-store.ts";
import { assertSame, type Movable, unknownOutcome } from "../../movable.ts";
import { pagesOf, type Query, type StoreClient } from "../connection/client.ts";
import { text } from "../connection/rows.ts";
import { putRows } from "./entity-index.ts";
import { historyRow, readHistory, readState, stateOf, writeBatch } from "./entity-rows.ts";
import { type EntityState, kindOf } from "./entity-state.ts";

const KEYS = "SELECT DISTINCT kind, name FROM entity";
const KEYS_AT_ONCE = 200;
/** Has the batch of older revisions be a lightweight transaction, as every write of the partition is; there is no state before the last batch. */
const NO_STATE = "UPDATE entity SET state = ? WHERE kind = ? AND name = ? IF head = ?";
/** Bytes of bodies in one batch: Cassandra takes 640 KiB. */
const BATCH_BYTES = 256 * 1024;
const NEWER_THAN_ALL = 2n ** 63n - 1n;

type Signal = AbortSignal | undefined;

export function createEntityRecords(client: StoreClient): Movable<EntityRecord> {
  async function read(key: EntityKey, signal: Signal): Promise<EntityRecord | undefined> {
    const state = stateOf(key, await readState(client, key, 0n, signal));
    if (state === undefined) return undefined;
    const history: StoredEntity[] = [];
    for await (const revision of readHistory(client, key, NEWER_THAN_ALL, signal)) history.push(revision);
    const newest = { ...state.entity, changedAt: Math.trunc(state.entity.changedAt) }; // as the history has it
    return { ...key, newest, members: sortedMembers(state.members), history };
  }

  async function put(record: EntityRecord, queries: readonly Query[], signal: Signal): Promise<void> {
    const outcome = await client.conditional("entity", queries, signal);
    if (outcome.kind === "applied") return;
    const name = `${record.kind} "${record.name}"`;
    if (outcome.kind === "unknown") throw unknownOutcome(name);
    assertSame(await read(record, signal), record, name); // an attempt without an answer was applied
  }

  return {
    async *everything(kind, signal) {
      for await (const key of allKeys(client, signal)) {
        const record = key.kind === kind ? await read(key, signal) : undefined;
        if (record !== undefined) yield record;
      }
    },

    counterpart: ({ kind, name }, signal) => read({ kind, name }, signal),

    async adopt(record, signal) {
      const { kind, name, newest, members, history } = record;
      const found = await read({ kind, name }, signal);
      if (found !== undefined) return assertSame(found, record, `${kind} "${name}"`);
      const state: EntityState = { entity: newest, members };
      const writer = randomUUID();
      const older = history.filter(({ revision }) => revision !== newest.revision);
      for (const part of partsOf(older)) {
        await put(record, [{ cql: NO_STATE, params: [null, kind, name, null] }, ...part.map((each) => historyRow(each, writer))], signal);
      }
      await putRows(client, undefined, state, signal);
      await put(record, writeBatch(state, 0n, writer, undefined), signal); // T1
    },
  };
}

/** The key of every entity, tombstones included; also of one that has index rows or a history, and no state. */
export async function* allKeys(client: StoreClient, signal?: AbortSignal): AsyncGenerator<EntityKey> {
  const options = { table: "entity", kind: "read", fetchSize: KEYS_AT_ONCE, signal } as const;
  for await (const rows of pagesOf(client, { cql: KEYS, params: [] }, options)) {
    for (const row of rows) yield { kind: kindOf(row.kind), name: text(row, "name") };
  }
}

/** Revisions in parts that are small enough for a batch each. */
function* partsOf(revisions: readonly StoredEntity[]): Generator<readonly StoredEntity[]> {
  let part: StoredEntity[] = [];
  let size = 0;
  for (const revision of revisions) {
    if (part.length > 0 && size + revision.body.byteLength > BATCH_BYTES) {
      yield part;
      [part, size] = [[], 0];
    }
    part.push(revision);
    size += revision.body.byteLength;
  }
  if (part.length > 0) yield part;
}

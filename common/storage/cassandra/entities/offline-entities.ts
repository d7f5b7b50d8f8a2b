/**
 * The operations of `nebula migrate` on every entity, while no component runs.
 *
 * T1 All of it can be repeated after a cut.
 */
import { NebulaError } from "../../../errors/nebula-error.ts";
import { eachLimited } from "../../../map-limited.ts";
import type { EntityKey, StoredEntity } from "../../config-store.ts";
import type { Query, StoreClient } from "../connection/client.ts";
import { putRows } from "./entity-index.ts";
import { allKeys } from "./entity-records.ts";
import { readHistory, readState, stateOf } from "./entity-rows.ts";
import { type EntityState, encodeState } from "./entity-state.ts";

/** Entities that are worked on at a time. */
const AT_ONCE = 16;
const SET_STATE = "UPDATE entity SET state = ? WHERE kind = ? AND name = ? IF head = ?";
const KEEP_HEAD = "UPDATE entity SET head = ? WHERE kind = ? AND name = ? IF head = ?";
const SET_BODY = "UPDATE entity SET body = ?, bytes = ? WHERE kind = ? AND name = ? AND revision = ?";
/** Bytes of bodies in one batch: Cassandra takes 640 KiB. */
const BATCH_BYTES = 256 * 1024;
const NEWER_THAN_ALL = 2n ** 63n - 1n;

type Rewrite = (stored: StoredEntity) => Uint8Array | undefined;

/** Replaces every body by the answer of `rewrite`, which is asked about all before the first one is replaced; see ConfigStore.rewriteBodies. */
export async function rewriteAllBodies(client: StoreClient, rewrite: Rewrite): Promise<number> {
  await forEachKey(client, async (key) => {
    for await (const _ of replacements(client, key, rewrite));
  });
  let replaced = 0;
  await forEachKey(client, async (key) => {
    let batch: Replacement[] = [];
    let size = 0;
    for await (const replacement of replacements(client, key, rewrite)) {
      if (batch.length > 0 && size + replacement.bytes > BATCH_BYTES) {
        await replace(client, key, batch);
        [batch, size] = [[], 0];
      }
      batch.push(replacement);
      size += replacement.bytes;
      replaced++;
    }
    if (batch.length > 0) await replace(client, key, batch);
  });
  return replaced;
}

/** Makes the index rows again: after a restore they, or what deleted them, may carry higher revisions than the entities. */
export async function rebuildIndexes(client: StoreClient): Promise<void> {
  for (const table of ["entity_name", "entity_lower", "member"]) {
    await client.define(`TRUNCATE ${table}`);
  }
  await forEachKey(client, async (key) => {
    const state = stateOf(key, await readState(client, key, 0n, undefined));
    if (state !== undefined) await putRows(client, undefined, state, undefined);
  });
}

async function forEachKey(client: StoreClient, work: (key: EntityKey) => Promise<void>): Promise<void> {
  await eachLimited(allKeys(client), AT_ONCE, work);
}

type Replacement = Query & Readonly<{ /** The revision of the entity now. */ head: bigint; bytes: number }>;

/** The statements that replace the bodies of one entity: of its state, and of each kept revision. */
async function* replacements(client: StoreClient, key: EntityKey, rewrite: Rewrite): AsyncGenerator<Replacement> {
  const state = stateOf(key, await readState(client, key, 0n, undefined));
  if (state === undefined) return;
  const head = state.entity.revision;
  const body = rewrite(state.entity);
  if (body !== undefined) yield stateReplacement(state, body);
  for await (const { revision, ...entity } of readHistory(client, key, NEWER_THAN_ALL)) {
    const older = rewrite({ ...entity, revision });
    if (older === undefined) continue;
    yield { head, cql: SET_BODY, params: [older, older.byteLength, key.kind, key.name, revision], bytes: older.byteLength };
  }
}

function stateReplacement({ entity, members }: EntityState, body: Uint8Array): Replacement {
  const { kind, name, revision } = entity;
  const cell = encodeState({ entity: { ...entity, body }, members });
  return { head: revision, cql: SET_STATE, params: [cell, kind, name, revision], bytes: cell.byteLength };
}

/** Every write of the partition is a lightweight transaction, this one too. */
async function replace(client: StoreClient, { kind, name }: EntityKey, batch: readonly Replacement[]): Promise<void> {
  const [first] = batch;
  if (first === undefined) return;
  const { head } = first;
  const outcome = await client.conditional("entity", [
    { cql: KEEP_HEAD, params: [head, kind, name, head] },
    ...batch.map(({ cql, params }) => ({ cql, params })),
  ]);
  if (outcome.kind === "applied") return;
  throw outcome.kind === "refused"
    ? new NebulaError("failed_precondition", `${kind} ${name} was changed meanwhile: stop every component, then run the command again`)
    : new NebulaError("unavailable", `the store did not say whether the bodies of ${kind} ${name} are replaced: run the command again`);
}

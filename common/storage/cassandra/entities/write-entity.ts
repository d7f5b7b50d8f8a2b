/**
 * One compare-and-set, from the index rows that precede it to those that follow.
 *
 * U1 A write has one writer id. An attempt without an answer is repeated unchanged, never merged again (CassandraClient.conditional); where the repetition is
 *    refused, the writer id in the history row of the revision that it meant to write says whether the first one won.
 * U2 The order may be cut anywhere: rows for what is about to be written, the batch, then the rows that it left behind. A cut leaves stale rows, which
 *    readers check (entity-index.ts), and never a name, or a member, without its row.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../../clock/clock.ts";
import { isNebulaError, NebulaError } from "../../../errors/nebula-error.ts";
import type { EntityKey, EntityWrite, WriteOutcome } from "../../config-store.ts";
import { CONDITIONAL_MS, type ConditionalOutcome, type StoreClient } from "../connection/client.ts";
import { bigint, isNull, type Row } from "../connection/rows.ts";
import { dropRows, putRows } from "./entity-index.ts";
import { readState, readStateSerially, readWriter, stateOf, trimPoint, writeBatch } from "./entity-rows.ts";
import { type EntityState, NO_MEMBERS } from "./entity-state.ts";

const LOOK_AGAIN_MS = 200;

export type WriteDeps = Readonly<{ client: StoreClient; clock: Clock }>;

/** Writes an entity if `expected` is what is stored; see ConfigStore.write. Rejects only where nothing was written. */
export async function writeEntity(deps: WriteDeps, write: EntityWrite, signal: AbortSignal | undefined): Promise<WriteOutcome> {
  const { client } = deps;
  const { expected, members, ...entity } = write;
  const key: EntityKey = { kind: write.kind, name: write.name };
  const before = await stateAt(client, key, expected, signal);
  if ((before?.entity.revision ?? 0n) !== expected) return { kind: "conflict", revision: before?.entity.revision ?? 0n };
  const after: EntityState = { entity, members: write.deleted ? NO_MEMBERS : (members ?? NO_MEMBERS) };
  const [trimBelow] = await Promise.all([trimPoint(client, entity, expected, signal), putRows(client, before, after, signal)]); // U2
  signal?.throwIfAborted();
  const writer = randomUUID(); // U1
  const answer = await client.conditional("entity", writeBatch(after, expected, writer, trimBelow), signal);
  const outcome = await outcomeOf(deps, answer, { ...key, revision: write.revision, writer }, signal);
  if (outcome.kind === "written") await dropRows(client, before, after, signal).catch(ignoreUnavailable); // U2
  return outcome;
}

/** The state at the expected revision, or a newer one. */
async function stateAt(client: StoreClient, key: EntityKey, expected: bigint, signal: AbortSignal | undefined): Promise<EntityState | undefined> {
  const found = await readState(client, key, expected, signal);
  if ((found?.entity.revision ?? 0n) <= expected) return stateOf(key, found);
  return stateOf(key, await readStateSerially(client, key, signal)); // the answer to a conflict is the newest there is
}

type Written = EntityKey & Readonly<{ revision: bigint; writer: string }>;

async function outcomeOf(deps: WriteDeps, answer: ConditionalOutcome, written: Written, signal: AbortSignal | undefined): Promise<WriteOutcome> {
  switch (answer.kind) {
    case "applied":
      return { kind: "written" };
    case "unknown":
      return { kind: "unknown" };
    case "refused":
      return answer.repeated ? settle(deps, answer.row, written, signal) : { kind: "conflict", revision: headOf(answer.row) };
  }
}

/** U1: what a repeated batch that was refused came to. */
async function settle({ client, clock }: WriteDeps, row: Row, written: Written, signal: AbortSignal | undefined): Promise<WriteOutcome> {
  const until = clock.monotonic() + CONDITIONAL_MS;
  const waiting = signal ?? new AbortController().signal;
  for (;;) {
    try {
      const found = await readWriter(client, written, signal);
      if (found === written.writer) {
        client.settled("entity", "written");
        return { kind: "written" };
      }
      if (found === "trimmed") break;
      client.settled("entity", "conflict");
      return { kind: "conflict", revision: headOf(row) };
    } catch (error) {
      if (waiting.aborted || clock.monotonic() >= until) break;
      if (!isNebulaError(error, "unavailable")) throw error;
      await clock.sleep(LOOK_AGAIN_MS, waiting).catch(() => {});
    }
  }
  client.settled("entity", "unknown");
  return { kind: "unknown" };
}

function headOf(row: Row): bigint {
  return isNull(row, "head") ? 0n : bigint(row, "head");
}

/** A write that is stored is written, even if the rows that it left behind stay. */
function ignoreUnavailable(error: unknown): void {
  if (error instanceof NebulaError || error instanceof DOMException) return;
  throw error;
}

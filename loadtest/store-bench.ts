import { randomUUID } from "node:crypto";
import { Client, policies, types } from "cassandra-driver";
import { systemClock } from "../common/clock/system-clock.ts";
import { openCassandraConfigStore } from "../common/storage/cassandra/entities/config-store.ts";
import { encodeState } from "../common/storage/cassandra/entities/entity-state.ts";
import { openCassandra } from "../common/storage/cassandra/open-cassandra.ts";
import type { ConfigStore, EntityWrite } from "../common/storage/config-store.ts";
import { quantile } from "./measure/quantiles.ts";
import { createBenchKeyspace } from "./servers/bench-keyspace.ts";

export const OPERATIONS = ["write", "get", "revisions of 500", "getMany of 500"] as const;
type Operation = (typeof OPERATIONS)[number];

/** One operation by one of the two, for a slice of time. */
export type StoreSlice = Readonly<{ operation: Operation; by: "store" | "bare"; perSecond: number; p99Ms: number }>;

type Subject = Readonly<Record<Operation, (index: number) => Promise<unknown>>>;

/** Callers at a time; a call for 500 has 64 requests in flight by itself. */
const CALLERS: Readonly<Record<Operation, number>> = { write: 32, get: 32, "revisions of 500": 2, "getMany of 500": 2 };
const NAMES = 500;
const BULK = 64;
const BODY = new TextEncoder().encode("x".repeat(1000));

export type StoreBenchOptions = Readonly<{ address: string; slices: number; sliceMs: number; signal: AbortSignal; say: (line: string) => void }>;

/** Measures store and bare driver in turns. */
export async function benchStore({ address, slices, sliceMs, signal, say }: StoreBenchOptions): Promise<StoreSlice[]> {
  await using stack = new AsyncDisposableStack();
  const keyspace = stack.use(await createBenchKeyspace({ address, signal, say }));
  const client = stack.use(await openCassandra(keyspace.options));
  const store = await openCassandraConfigStore({ client, clock: systemClock });
  const bare = new Client({
    contactPoints: [address],
    keyspace: keyspace.name,
    localDataCenter: client.dataCenter,
    encoding: { useBigIntAsLong: true },
    policies: { retry: new policies.retry.FallthroughRetryPolicy() },
  });
  await bare.connect();
  stack.defer(() => bare.shutdown());
  const subjects = { store: storeSubject(store), bare: bareSubject(bare) };
  for (const by of ["store", "bare"] as const) await Promise.all(Array.from({ length: NAMES }, (_, index) => subjects[by].write(index)));
  const measured: StoreSlice[] = [];
  for (const operation of OPERATIONS) {
    for (let slice = 0; slice <= slices; slice++) {
      for (const by of ["store", "bare"] as const) {
        const figures = await measure(subjects[by][operation], CALLERS[operation], sliceMs, signal);
        if (slice > 0) measured.push({ operation, by, ...figures }); // the first one warms up
      }
    }
    say(`${operation}: measured`);
  }
  return measured;
}

async function measure(call: (index: number) => Promise<unknown>, callers: number, sliceMs: number, signal: AbortSignal) {
  const times: number[] = [];
  const startedAt = performance.now();
  const caller = async (first: number) => {
    const own = Math.floor(NAMES / callers); // names that no other caller writes
    for (let turn = 0; performance.now() - startedAt < sliceMs && !signal.aborted; turn++) {
      const sentAt = performance.now();
      await call(first + callers * (turn % own));
      times.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, index) => caller(index)));
  signal.throwIfAborted();
  return { perSecond: (1000 * times.length) / (performance.now() - startedAt), p99Ms: quantile(times, 0.99) };
}

function nextWrite(name: string, expected: bigint): EntityWrite {
  return { kind: "app", name, expected, revision: expected + 1n, deleted: false, body: BODY, action: "update", changedAt: 0, changedBy: "bench" };
}

function storeSubject(store: ConfigStore): Subject {
  const names = Array.from({ length: NAMES }, (_, index) => `store-${index}`);
  const heads = new Array<bigint>(NAMES).fill(0n);
  const nameOf = (index: number) => names[index] ?? "";
  return {
    async write(index) {
      const outcome = await store.write(nextWrite(nameOf(index), heads[index] ?? 0n));
      if (outcome.kind !== "written") throw new Error(`a write without a rival is ${outcome.kind}`);
      heads[index] = (heads[index] ?? 0n) + 1n;
    },
    get: (index) => store.get({ kind: "app", name: nameOf(index) }),
    "revisions of 500": () => store.revisions(names.map((name) => ({ kind: "app", name }))),
    "getMany of 500": () => store.getMany("app", names),
  };
}

/** The same statements, and nothing around them. */
function bareSubject(bare: Client): Subject {
  const { localQuorum: consistency, localSerial: serialConsistency } = types.consistencies;
  const names = Array.from({ length: NAMES }, (_, index) => `bare-${index}`);
  const heads = new Array<bigint>(NAMES).fill(0n);
  const state = "SELECT DISTINCT kind, name, head, state FROM entity WHERE kind = ? AND name = ?";
  const head = "SELECT DISTINCT kind, name, head FROM entity WHERE kind = ? AND name = ?";
  const read = (cql: string, name: string | undefined) => bare.execute(cql, ["app", name], { prepare: true, consistency });
  const readAll = async (cql: string) => {
    const next = names.values();
    const worker = async () => {
      for (const name of next) await read(cql, name);
    };
    await Promise.all(Array.from({ length: BULK }, worker));
  };
  return {
    async write(index) {
      const name = names[index] ?? "";
      const { expected, ...entity } = nextWrite(name, heads[index] ?? 0n);
      await read(state, name);
      const cell = encodeState({ entity, members: { apps: [], cronJobs: [] } });
      const answer = await bare.batch(
        [
          {
            query: "UPDATE entity SET head = ?, state = ? WHERE kind = ? AND name = ? IF head = ?",
            params: [entity.revision, cell, "app", name, expected === 0n ? null : expected],
          },
          {
            query:
              "INSERT INTO entity (kind, name, revision, body, deleted, action, changed_at, changed_by, writer, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params: ["app", name, entity.revision, Buffer.from(BODY), false, "update", 0n, "bench", randomUUID(), BODY.length],
          },
        ],
        { prepare: true, logged: false, consistency, serialConsistency },
      );
      if (!answer.wasApplied()) throw new Error("a write without a rival is refused");
      heads[index] = entity.revision;
    },
    get: (index) => read(state, names[index]),
    "revisions of 500": () => readAll(head),
    "getMany of 500": () => readAll(state),
  };
}

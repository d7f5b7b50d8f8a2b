/**
 * One process's way to Cassandra: prepared statements, bounded, with a limit of time each.
 *
 * C1 At most IN_FLIGHT.most requests are sent at a time, BULK of them for one bulk read; more wait in a bounded queue (in-flight.ts).
 * C2 Reads and plain writes are idempotent: a second coordinator is asked after SPECULATIVE_MS, and another one after an error. Serial reads are sent once more,
 *    to another coordinator, after an error. Conditional batches are never sent twice at a time.
 * C3 A conditional batch without an answer is repeated, unchanged, on another coordinator until one answers or the time is over. While it is repeated, an
 *    earlier try may still be applied; so when a repetition is refused, the caller reads its own writer id to learn whether one was (conditional).
 */
import { Client, type Host, policies, type QueryOptions, types } from "cassandra-driver";
import type { Clock } from "../../../clock/clock.ts";
import { endedWithin } from "../../../ended-within.ts";
import { isNebulaError, NebulaError } from "../../../errors/nebula-error.ts";
import { isBackendError, mappedError, wasNotSent } from "./cassandra-errors.ts";
import type { CassandraTarget } from "./cassandra-url.ts";
import { controlConnectionOf, refreshOneAtATime } from "./control-connection.ts";
import { InFlight, withinLimit } from "./in-flight.ts";
import { LocalPolicy } from "./local-policy.ts";
import type { Row } from "./rows.ts";
import type { Settled, StoreLabels, StoreMetrics } from "./store-metrics.ts";

/** Requests that are sent at a time, and that wait besides. */
export const IN_FLIGHT = { most: 1024, queue: 8192 } as const;
/** Requests of one bulk read at a time. */
export const BULK = 64;
const SPECULATIVE_MS = 100;
const RECONNECT_MS = 1000;
/** The longest that one request, and all tries of one conditional batch, take. Milliseconds. */
export const REQUEST_MS = 3000;
/** The longest that one coordinator may take: less than the request, so that the error says which coordinator did not answer. Milliseconds. */
const ANSWER_MS = 2500;
/** The longest that a node may take to answer what the driver asks by itself: to open a connection, a heartbeat, to prepare a statement. Milliseconds. */
const DRIVER_ANSWER_MS = 2000;
/** The longest close, milliseconds. */
const CLOSE_MS = 5000;
export const CONDITIONAL_MS = 10_000;
/** The longest that a change of the schema takes, milliseconds. */
const DEFINE_MS = 60_000;
/** The first wait before a conditional batch is repeated; it doubles up to the second, jittered. Milliseconds. */
const REPEAT_MS = { first: 25, longest: 500 } as const;
/** Requests without an answer after which a connection counts as broken: one whose other end is gone says nothing. */
const DEFUNCT = 3;
/** Rows of one answer, where a statement does not say. */
const FETCH_SIZE = 1000;

/** `serial_read`: completes a conditional write that hangs, and so is never behind one. */
export type StatementKind = "read" | "serial_read" | "write";

/** One statement with its values; a value that is undefined is left as it is. Values of bigint columns are bigints. */
export type Query = Readonly<{ cql: string; params: readonly unknown[] }>;

export type ExecuteOptions = Readonly<{
  /** For the metrics. */
  table: string;
  kind: StatementKind;
  /** Rows of one answer. */
  fetchSize?: number;
  /** `next` of the answer before. */
  pageState?: string | undefined;
  signal?: AbortSignal | undefined;
}>;

export type Rows = Readonly<{ rows: readonly Row[] /** Where the next page starts; undefined: this was the last one. */; next: string | undefined }>;

export type ConditionalOutcome = Readonly<
  | { kind: "applied" }
  /** `row`: what is stored. `repeated`: an earlier try had no answer, and may be what was found. */
  | { kind: "refused"; row: Row; repeated: boolean }
  /** Sent, but not answered in time. */
  | { kind: "unknown" }
>;

/** The operations of the client that a store uses. */
export type StoreClient = Pick<CassandraClient, "execute" | "executeMany" | "conditional" | "settled" | "define">;

export type ClientOptions = Readonly<{
  target: CassandraTarget;
  password: string | undefined;
  /** PEM of the authorities that the nodes' certificates have to be of; undefined: those that come with Node. */
  ca: string | undefined;
  clock: Clock;
  metrics: StoreMetrics;
  /** Without the keyspace: it may not exist yet. */
  withoutKeyspace?: boolean;
}>;

const RETRY_NEXT_HOST = new (class extends policies.retry.RetryPolicy {
  override onWriteTimeout(info: policies.retry.OperationInfo, consistency: types.consistencies) {
    return info.nbRetry === 0 ? this.retryResult(consistency, false) : this.rethrowResult();
  }
})();
const RETRY_NEVER = new policies.retry.FallthroughRetryPolicy();

/** A node that comes back is a new host to the driver, which leaves the one before as it is: without this, that tries to connect as long as the process lives. */
function endConnections(host: object): void {
  if ("shutdown" in host && typeof host.shutdown === "function") Promise.resolve(host.shutdown(false)).catch(() => {});
}

export class CassandraClient implements AsyncDisposable {
  readonly target: CassandraTarget;
  readonly #driver: Client;
  readonly #policy: LocalPolicy;
  readonly #inFlight = new InFlight(IN_FLIGHT);
  readonly #removed = new Set<object>();
  readonly #clock: Clock;
  readonly #metrics: StoreMetrics;
  readonly #consistency: Readonly<{ read: number; serial: number }>;
  readonly #readName: string;
  readonly #serialName: string;
  readonly #conditionalOptions: QueryOptions;

  /** Opens nothing: see connect. */
  constructor({ target, password, ca, clock, metrics, withoutKeyspace = false }: ClientOptions) {
    this.target = target;
    this.#clock = clock;
    this.#metrics = metrics;
    const { localQuorum, localSerial, quorum, serial } = types.consistencies;
    this.#consistency = target.consistency === "local" ? { read: localQuorum, serial: localSerial } : { read: quorum, serial };
    [this.#readName, this.#serialName] = target.consistency === "local" ? ["LOCAL_QUORUM", "LOCAL_SERIAL"] : ["QUORUM", "SERIAL"];
    this.#conditionalOptions = {
      prepare: true,
      logged: false,
      consistency: this.#consistency.read,
      serialConsistency: this.#consistency.serial,
      readTimeout: ANSWER_MS,
      isIdempotent: false, // C2
      retry: RETRY_NEVER,
    };
    this.#policy = new LocalPolicy(target.dataCenter, clock);
    this.#driver = new Client({
      contactPoints: [...target.contactPoints],
      ...(withoutKeyspace ? {} : { keyspace: target.keyspace }),
      ...(target.user === undefined ? {} : { credentials: { username: target.user, password: password ?? "" } }),
      ...(target.tls ? { sslOptions: { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) } } : {}),
      protocolOptions: { port: target.port, maxSchemaAgreementWaitSeconds: 60 },
      encoding: { useBigIntAsLong: true, copyBuffer: true, useUndefinedAsUnset: true },
      socketOptions: { connectTimeout: REQUEST_MS, readTimeout: DRIVER_ANSWER_MS, defunctReadTimeoutThreshold: DEFUNCT },
      pooling: { heartBeatInterval: 5000 },
      policies: {
        loadBalancing: this.#policy,
        reconnection: new policies.reconnection.ConstantReconnectionPolicy(RECONNECT_MS),
        speculativeExecution: new policies.speculativeExecution.ConstantSpeculativeExecutionPolicy(SPECULATIVE_MS, 1),
        retry: RETRY_NEVER,
      },
      requestTracker: this.#policy.tracker,
      prepareOnAllHosts: false, // it would wait for a node that does not answer; a node that lacks a statement says so, and gets it then
    });
    refreshOneAtATime(controlConnectionOf(this.#driver));
    this.#driver.on("log", () => {}); // the errors that matter reach the callers
    this.#driver.on("hostRemove", (host: object) => this.#removed.add(host));
  }

  /** Connects. Rejects with the driver's own error. */
  async connect(): Promise<void> {
    await this.#driver.connect();
  }

  /** The data center that is asked. */
  get dataCenter(): string {
    return this.#policy.dataCenter;
  }

  /** Every node that is known, with its version and whether it is up. */
  nodes(): readonly Readonly<{ address: string; version: string; dataCenter: string; up: boolean }>[] {
    return this.#driver.hosts
      .values()
      .map((host) => ({ address: host.address, version: host.cassandraVersion, dataCenter: host.datacenter, up: host.isUp() }));
  }

  /** Copies of each row by data center, as the keyspace says. */
  async replication(signal?: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const query = { cql: "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", params: [this.target.keyspace] };
    const { rows } = await this.execute(query, { table: "system_schema.keyspaces", kind: "read", signal });
    return Object.fromEntries(
      Object.entries(rows[0]?.replication ?? {}).flatMap(([name, value]) => (name === "class" ? [] : [[name, String(value)]])),
    );
  }

  /** A setting of each node that is up, as the node has it now. */
  async settingOfNodes(name: string): Promise<readonly Readonly<{ address: string; value: string | undefined }>[]> {
    const hosts = this.#driver.hosts.values().filter((host) => host.isUp() && host.datacenter === this.dataCenter);
    return Promise.all(
      hosts.map(async (host) => {
        const options = { host, prepare: true, consistency: types.consistencies.one };
        const { rows } = await this.#driver.execute("SELECT value FROM system_views.settings WHERE name = ?", [name], options).catch((error) => {
          throw mappedError(error);
        });
        const value: unknown = rows[0]?.value;
        return { address: host.address, value: typeof value === "string" ? value : undefined };
      }),
    );
  }

  /** Changes the schema, and waits until all nodes agree on it. Without a limit of its own but the driver's. */
  async define(statement: string): Promise<void> {
    try {
      const result = await this.#driver.execute(statement, [], { prepare: false, readTimeout: DEFINE_MS });
      if ("isSchemaInAgreement" in result.info && result.info.isSchemaInAgreement === false) {
        throw new NebulaError("unavailable", "the nodes do not agree on the schema yet: see that all are up, then run nebula migrate again");
      }
    } catch (error) {
      throw mappedError(error);
    }
  }

  /** Executes one statement; answers a page of its rows. */
  async execute({ cql, params }: Query, { table, kind, fetchSize = FETCH_SIZE, pageState, signal }: ExecuteOptions): Promise<Rows> {
    const consistency = kind === "serial_read" ? this.#consistency.serial : this.#consistency.read;
    const idempotent = kind !== "serial_read"; // C2
    const options: QueryOptions = {
      prepare: true,
      consistency,
      fetchSize,
      readTimeout: ANSWER_MS,
      isIdempotent: idempotent,
      retry: idempotent ? RETRY_NEXT_HOST : RETRY_NEVER,
      ...(pageState === undefined ? {} : { pageState }),
    };
    const labels = { table, kind, consistency: kind === "serial_read" ? this.#serialName : this.#readName };
    try {
      const work = (host?: Host) => this.#driver.execute(cql, bound(params), host === undefined ? options : { ...options, host });
      const sent = await this.#send(labels, signal, () => (idempotent ? work() : work().catch((error) => work(this.#hostAfter(error)))));
      return { rows: sent.rows ?? [], next: sent.pageState ?? undefined };
    } catch (error) {
      throw mappedError(error);
    }
  }

  /** Executes one statement for each of many values, BULK at a time; the answers are in the order of the values. Stops at the first error, and rejects with it. */
  async executeMany(cql: string, values: readonly (readonly unknown[])[], options: ExecuteOptions): Promise<readonly (readonly Row[])[]> {
    const answers: (readonly Row[])[] = [];
    const next = values.entries();
    let failed = false;
    const worker = async () => {
      for (const [index, params] of next) {
        if (failed) return; // what is in flight ends by itself, within its limit
        answers[index] = (await this.execute({ cql, params }, options)).rows;
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(BULK, values.length) }, worker));
    } finally {
      failed = true;
    }
    return answers;
  }

  /**
   * Executes a conditional batch within one partition; the first statement has the condition. C3: `queries` must identify their writer (a random id in a row that
   * the batch puts), so that the caller of a repeated, refused batch can tell whether an earlier try was applied.
   * Rejects only where nothing was sent.
   */
  async conditional(table: string, queries: readonly Query[], signal?: AbortSignal): Promise<ConditionalOutcome> {
    const labels = { table, kind: "conditional", consistency: this.#serialName };
    const deadline = this.#clock.monotonic() + CONDITIONAL_MS;
    let waitMs: number = REPEAT_MS.first;
    const idle = signal ?? new AbortController().signal;
    const failed = new Set<string>();
    let host: Host | undefined;
    let sent = false;
    for (;;) {
      let started = false;
      try {
        const result = await this.#send(labels, signal, () => {
          started = true;
          return this.#driver.batch(
            queries.map(({ cql, params }) => ({ query: cql, params: bound(params) })),
            host === undefined ? this.#conditionalOptions : { ...this.#conditionalOptions, host },
          );
        });
        if (!result.wasApplied()) {
          if (!sent) this.#metrics.conflicted(table);
          return { kind: "refused", row: result.first(), repeated: sent };
        }
        if (sent) this.#metrics.settled(table, "written");
        return { kind: "applied" };
      } catch (error) {
        const aborted = signal?.aborted === true;
        if (!aborted && !isNebulaError(error, "unavailable") && !isBackendError(error)) throw error;
        sent ||= started && !wasNotSent(error);
        if (!sent) throw mappedError(error);
        const left = deadline - this.#clock.monotonic();
        if (!aborted && left > 0) await this.#clock.sleep(Math.min(left, waitMs * (0.5 + Math.random())), idle).catch(() => {});
        if (signal?.aborted === true || this.#clock.monotonic() >= deadline) {
          this.#metrics.settled(table, "unknown");
          return { kind: "unknown" };
        }
        waitMs = Math.min(2 * waitMs, REPEAT_MS.longest);
        const coordinator = coordinatorOf(error);
        if (coordinator !== undefined) failed.add(coordinator);
        host = this.#otherCoordinator(failed);
      }
    }
  }

  /** Counts a batch that was repeated and refused, once its caller knows what it found. */
  settled(table: string, as: Settled): void {
    this.#metrics.settled(table, as);
  }

  /** Requests that were sent and have no answer yet. */
  get inFlight(): number {
    return this.#inFlight.running;
  }

  /** The driver waits for the end of each connection without a limit: a node that does not answer must not hold up a stop. */
  async [Symbol.asyncDispose](): Promise<void> {
    await endedWithin(this.#driver.shutdown(), CLOSE_MS);
    for (const host of this.#removed) endConnections(host);
  }

  /** C1 */
  #send(labels: StoreLabels, signal: AbortSignal | undefined, work: () => Promise<types.ResultSet>): Promise<types.ResultSet> {
    return withinLimit(REQUEST_MS, signal, (limit) =>
      this.#inFlight.run(async () => {
        const startedAt = this.#clock.monotonic();
        let result: "ok" | "failed" = "failed";
        try {
          const answer = await work();
          result = "ok";
          return answer;
        } finally {
          this.#metrics.requested(labels, (this.#clock.monotonic() - startedAt) / 1000, result);
        }
      }, limit),
    );
  }

  /**
   * C2: the coordinator that a serial read is sent to after this error.
   * @throws the error, where another coordinator would not help or there is none
   */
  #hostAfter(error: unknown): Host {
    const coordinator = coordinatorOf(error);
    if (coordinator === undefined || !isBackendError(error)) throw error;
    const host = this.#otherCoordinator(new Set([coordinator]));
    if (host === undefined || host.address === coordinator) throw error;
    return host;
  }

  /** C3: a node other than those that gave no answer, where there is one; one that answers others, where there is one. */
  #otherCoordinator(failed: ReadonlySet<string>): Host | undefined {
    const up = this.#driver.hosts.values().filter((host) => host.datacenter === this.dataCenter && host.isUp());
    const others = up.filter(({ address }) => !failed.has(address));
    const answering = others.filter((host) => !this.#policy.isSilent(host));
    const [hosts = []] = [answering, others, up].filter((each) => each.length > 0);
    return hosts[Math.floor(Math.random() * hosts.length)];
  }
}

/** The address of the node that was asked, of an error that says it. */
function coordinatorOf(error: unknown): string | undefined {
  return error instanceof Error && "coordinator" in error && typeof error.coordinator === "string" ? error.coordinator : undefined;
}

/** The values as the driver takes them: of bytes it takes Buffers alone. */
function bound(params: readonly unknown[]): unknown[] {
  return params.map((value) =>
    value instanceof Uint8Array && !Buffer.isBuffer(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value,
  );
}

/** All rows of a statement, page by page: the next one is read when the one before was taken. */
export async function* pagesOf(
  client: Pick<CassandraClient, "execute">,
  query: Query,
  options: Omit<ExecuteOptions, "pageState">,
): AsyncGenerator<readonly Row[], void, void> {
  for (let pageState: string | undefined; ; ) {
    const { rows, next } = await client.execute(query, { ...options, pageState });
    yield rows;
    if (next === undefined) return;
    pageState = next;
  }
}

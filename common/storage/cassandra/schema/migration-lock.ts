/**
 * One migration at a time, in all processes.
 *
 * L1 The lock is a row that names its holder. The holder raises a number in it every BEAT_MS; each step of the migration raises it too, and ends the
 *    migration where the row names another.
 * L2 A lock whose number stands still for SILENCE_MS of the reader's own clock is taken over.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../../clock/clock.ts";
import { NebulaError } from "../../../errors/nebula-error.ts";
import type { CassandraClient, ConditionalOutcome } from "../connection/client.ts";
import { integer, isNull, type Row, text } from "../connection/rows.ts";
import { SCHEMA_PART } from "./schema-version.ts";

const BEAT_MS = 10_000;
const SILENCE_MS = 60_000;
const LOOK_MS = 1000;

type Held = Readonly<{ by: string; beat: number }>;

export type MigrationLock = AsyncDisposable & {
  /** L1: rejects with `failed_precondition` when another has taken the lock over. */
  assertHeld(): Promise<void>;
  /** Sets the version of the schema. Rejects as assertHeld does. */
  setVersion(version: number): Promise<void>;
};

/** Takes the lock; `waits` is called once when another migration holds it. */
export async function takeMigrationLock(
  client: CassandraClient,
  { clock, waits, signal }: { clock: Clock; waits: () => void; signal: AbortSignal },
): Promise<MigrationLock> {
  const me = randomBytes(8).toString("hex");
  let seen: (Held & { since: number }) | undefined;
  for (;;) {
    const holder = await readHolder(client, signal);
    if (holder === undefined || holder.by === me) {
      if (holder === undefined ? await take(client, me, undefined) : true) break;
      continue;
    }
    if (seen === undefined) waits();
    if (seen?.by !== holder.by || seen.beat !== holder.beat) seen = { ...holder, since: clock.monotonic() };
    if (clock.monotonic() - seen.since >= SILENCE_MS && (await take(client, me, holder))) break; // L2
    await clock.sleep(LOOK_MS, signal);
  }
  return new Holding(client, me, clock);
}

class Holding implements MigrationLock {
  readonly #client: CassandraClient;
  readonly #me: string;
  readonly #over = new AbortController();
  readonly #beating: Promise<void>;
  #beat = 0;

  constructor(client: CassandraClient, me: string, clock: Clock) {
    this.#client = client;
    this.#me = me;
    this.#beating = this.#keepBeating(clock);
  }

  async assertHeld(): Promise<void> {
    const cql = "UPDATE schema_state SET lock_beat = ? WHERE part = ? IF locked_by = ?";
    this.#requireApplied(await this.#client.conditional("schema_state", [{ cql, params: [++this.#beat, SCHEMA_PART, this.#me] }]));
  }

  async setVersion(version: number): Promise<void> {
    const cql = "UPDATE schema_state SET version = ?, lock_beat = ? WHERE part = ? IF locked_by = ?";
    this.#requireApplied(await this.#client.conditional("schema_state", [{ cql, params: [version, ++this.#beat, SCHEMA_PART, this.#me] }]));
  }

  /** Never rejects: a lock that cannot be released is taken over after a minute, and the error that ends a migration stays the one that is shown. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#beating;
    const cql = "UPDATE schema_state SET locked_by = null, lock_beat = null WHERE part = ? IF locked_by = ?";
    await this.#client.conditional("schema_state", [{ cql, params: [SCHEMA_PART, this.#me] }]).catch(() => {});
  }

  async #keepBeating(clock: Clock): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      await clock.sleep(BEAT_MS, signal).catch(() => {});
      if (!signal.aborted) await this.assertHeld().catch(() => {}); // the next step notices
    }
  }

  #requireApplied({ kind }: ConditionalOutcome): void {
    if (kind === "applied") return;
    throw kind === "unknown"
      ? new NebulaError("unavailable", "the store did not answer whether this migration still has its lock: run nebula migrate again")
      : new NebulaError("failed_precondition", "another nebula migrate took the lock over: run nebula migrate again");
  }
}

async function readHolder(client: CassandraClient, signal: AbortSignal): Promise<Held | undefined> {
  const query = { cql: "SELECT locked_by, lock_beat FROM schema_state WHERE part = ?", params: [SCHEMA_PART] };
  const { rows } = await client.execute(query, { table: "schema_state", kind: "serial_read", signal });
  const [row] = rows;
  return row === undefined || isNull(row, "locked_by") ? undefined : heldOf(row);
}

function heldOf(row: Row): Held {
  return { by: text(row, "locked_by"), beat: isNull(row, "lock_beat") ? 0 : integer(row, "lock_beat") };
}

/** Whether this process has the lock now. An unknown outcome counts as not: the loop looks again, and finds its own name. */
async function take(client: CassandraClient, me: string, from: Held | undefined): Promise<boolean> {
  const set = "UPDATE schema_state SET locked_by = ?, lock_beat = 0 WHERE part = ? IF locked_by = ?";
  const query =
    from === undefined
      ? { cql: set, params: [me, SCHEMA_PART, null] }
      : { cql: `${set} AND lock_beat = ?`, params: [me, SCHEMA_PART, from.by, from.beat] };
  return (await client.conditional("schema_state", [query])).kind === "applied";
}

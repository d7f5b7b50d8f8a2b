/**
 * The base that the parts of the access store share: conditional changes whose outcome is settled, rows of tokens, the access
 * stamp.
 *
 * P1 Every change of a partition is one conditional batch that carries an id of its writer. A refused batch that was
 *    repeated is settled by reading that id at SERIAL, which completes a write that hangs.
 * P2 A row of `token_owner` is changed and removed only by its claim, an id that each claim of the hash makes: a late
 *    release never ends a later claim.
 */
import { randomBytes } from "node:crypto";
import { isNebulaError, NebulaError } from "../../../errors/nebula-error.ts";
import type { ExecuteOptions, Query, StoreClient } from "../connection/client.ts";
import { integer, isNull, type Row, text } from "../connection/rows.ts";
import { ACCESS_PART } from "../schema/access-tables.ts";

export type ReadKind = "read" | "serial_read";
type Signal = AbortSignal | undefined;

/** `refused`: the condition does not hold. */
export type Change = "applied" | "refused" | "unknown";

const SELECT_TOKEN = "SELECT kind, owner, device_group, state, generation, claim FROM token_owner WHERE hash = ?";
const INSERT_TOKEN = "INSERT INTO token_owner (hash, kind, owner, device_group, state, generation, claim) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const UPDATE_TOKEN = "UPDATE token_owner SET device_group = ?, state = ?, generation = ?, claim = ? WHERE hash = ? IF claim = ?";
const DELETE_TOKEN = "DELETE FROM token_owner WHERE hash = ? IF claim = ?";
const SELECT_STAMP = "SELECT DISTINCT part, stamp FROM access WHERE part = ?";
const RENEW_STAMP = "UPDATE access SET stamp = ? WHERE part = ? IF stamp != ?";

/**
 * The owner of a hash. `state`: only `in_use` answers alone; what is `new` or `next` counts where the device's row says
 * so.
 */
export type TokenRow = Readonly<{
  kind: "user" | "device" | "enrolment";
  owner: string;
  deviceGroup: string;
  state: "in_use" | "new" | "next";
  /** Of a device's token: the generation of its row. */
  generation: number;
  claim: string;
}>;

export type ClaimOutcome = Readonly<
  | { kind: "claimed"; claim: string }
  /** The hash is another's. */
  | { kind: "taken" }
  | { kind: "unknown" }
>;

export function newWriter(): string {
  return randomBytes(16).toString("hex");
}

export class AccessPartition {
  readonly client: StoreClient;
  /** The renewal of the stamp that runs, and the one that begins after it. */
  #renewing: Promise<Change> | undefined;
  #renewingNext: Promise<Change> | undefined;

  constructor(client: StoreClient) {
    this.client = client;
  }

  async rows(table: string, query: Query, kind: ReadKind, signal: Signal, more: Pick<ExecuteOptions, "fetchSize"> = {}): Promise<readonly Row[]> {
    return (await this.client.execute(query, { table, kind, signal, ...more })).rows;
  }

  /**
   * Executes one conditional batch.
   * @param isMine whether the batch was applied, as a read at SERIAL shows; undefined: that can't be told any more (P1)
   */
  async change(table: string, queries: readonly Query[], isMine: () => Promise<boolean | undefined>, signal: Signal): Promise<Change> {
    const outcome = await this.client.conditional(table, queries, signal);
    if (outcome.kind === "applied") return "applied";
    if (outcome.kind === "unknown") return "unknown";
    if (!outcome.repeated) return "refused";
    const mine = await isMine().catch((error: unknown) => {
      if (isNebulaError(error, "unavailable")) return undefined;
      throw error;
    });
    this.client.settled(table, mine === undefined ? "unknown" : mine ? "written" : "conflict");
    return mine === undefined ? "unknown" : mine ? "applied" : "refused";
  }

  // --- tokens

  async token(hash: string, kind: ReadKind, signal: Signal): Promise<TokenRow | undefined> {
    if (hash === "") return undefined;
    const [row] = await this.rows("token_owner", { cql: SELECT_TOKEN, params: [hash] }, kind, signal);
    return row === undefined || isNull(row, "claim") ? undefined : tokenOf(row);
  }

  /** Makes the hash this owner's (A3). A claim of the same owner, left by a call that was cut, is taken over (P2). */
  async claim(hash: string, wanted: Omit<TokenRow, "claim">, signal: Signal): Promise<ClaimOutcome> {
    const claim = newWriter();
    const isMine = async () => (await this.token(hash, "serial_read", signal))?.claim === claim;
    const { kind, owner, deviceGroup, state, generation } = wanted;
    for (;;) {
      const inserted = await this.change(
        "token_owner",
        [{ cql: INSERT_TOKEN, params: [hash, kind, owner, deviceGroup, state, generation, claim] }],
        isMine,
        signal,
      );
      if (inserted === "unknown") return { kind: "unknown" };
      if (inserted === "applied") return { kind: "claimed", claim };
      const found = await this.token(hash, "serial_read", signal);
      if (found === undefined) continue; // released meanwhile
      if (found.kind !== kind || found.owner !== owner || found.generation > generation) return { kind: "taken" };
      if (state === "next" && found.state !== "next") return { kind: "taken" }; // it is, or was, the token in use
      const taken = await this.change(
        "token_owner",
        [{ cql: UPDATE_TOKEN, params: [deviceGroup, state, generation, claim, hash, found.claim] }],
        isMine,
        signal,
      );
      if (taken === "unknown") return { kind: "unknown" };
      if (taken === "applied") return { kind: "claimed", claim };
    }
  }

  /** From now on the token answers alone. */
  useToken(hash: string, { claim, deviceGroup, generation }: TokenRow, signal: Signal): Promise<Change> {
    const isMine = async () => (await this.token(hash, "serial_read", signal))?.state === "in_use";
    return this.change("token_owner", [{ cql: UPDATE_TOKEN, params: [deviceGroup, "in_use", generation, claim, hash, claim] }], isMine, signal);
  }

  /** P2: ends a claim; `refused`: it has ended already. */
  release(hash: string, claim: string, signal: Signal): Promise<Change> {
    const isMine = async () => (await this.token(hash, "serial_read", signal))?.claim !== claim;
    return this.change("token_owner", [{ cql: DELETE_TOKEN, params: [hash, claim] }], isMine, signal);
  }

  /** Ends the token with this hash if it is this owner's. */
  async releaseOwn(hash: string, kind: TokenRow["kind"], owner: string, signal: Signal): Promise<"done" | "unknown"> {
    const found = await this.token(hash, "serial_read", signal);
    if (found === undefined || found.kind !== kind || found.owner !== owner) return "done";
    return (await this.release(hash, found.claim, signal)) === "unknown" ? "unknown" : "done";
  }

  // --- the stamp

  async stamp(signal: Signal): Promise<string> {
    const [row] = await this.rows("access", { cql: SELECT_STAMP, params: [ACCESS_PART] }, "read", signal);
    return row === undefined || isNull(row, "stamp") ? "" : text(row, "stamp");
  }

  /**
   * A1, after a change elsewhere. Renewals that are wanted while one runs are one: the partition has one writer at a
   * time.
   */
  async renewStamp(): Promise<"done" | "unknown"> {
    this.#renewingNext ??= this.#renewAfter(this.#renewing);
    return (await this.#renewingNext) === "unknown" ? "unknown" : "done";
  }

  async #renewAfter(running: Promise<Change> | undefined): Promise<Change> {
    await running?.catch(() => {}); // its own callers receive that
    this.#renewing = this.#renewingNext;
    this.#renewingNext = undefined;
    const stamp = newWriter();
    const isMine = async () => (await this.stamp(undefined)) === stamp;
    return this.change("access", [{ cql: RENEW_STAMP, params: [stamp, ACCESS_PART, stamp] }], isMine, undefined);
  }
}

function tokenOf(row: Row): TokenRow {
  return {
    kind: oneOf(text(row, "kind"), ["user", "device", "enrolment"]),
    owner: text(row, "owner"),
    deviceGroup: text(row, "device_group"),
    state: oneOf(text(row, "state"), ["in_use", "new", "next"]),
    generation: integer(row, "generation"),
    claim: text(row, "claim"),
  };
}

/** The value as one of those that there are. */
export function oneOf<const T extends string>(value: string, known: readonly T[]): T {
  const found = known.find((each) => each === value);
  if (found === undefined)
    throw new NebulaError("failed_precondition", "the store holds an unexpected state of a token: it is of another version, or damaged");
  return found;
}

/** The error for a hash that is another's; the owner stays unnamed. */
export function tokenTaken(): NebulaError {
  return new NebulaError("already_exists", "this token is in use already: make another one");
}

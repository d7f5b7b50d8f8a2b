/**
 * Writes by compare-and-set, of anything that has a name and revisions: entities, users, user_groups.
 *
 * V1 A write was made from exactly the revision that it replaces: the new revision is above it, and given to nothing else.
 * V2 Changes of one name queue up within a shard; only those of other shards cost tries.
 * V3 A write is announced after it is stored.
 */
import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { EntityKind, WriteOutcome } from "../../common/storage/config-store.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { KeyedQueue } from "./keyed-queue.ts";

/** The revision of something stored; a tombstone has one, too. */
export type Revisioned = Readonly<{ revision: bigint; deleted: boolean }>;

/** The fields that every write has. */
export type Stamp = Readonly<{
  name: string;
  /** The revision that the write replaces; 0: there is none. */
  expected: bigint;
  revision: bigint;
  changedAt: number;
  changedBy: string;
}>;

export type WriteRequest = Readonly<{
  name: string;
  /** The write is made at this revision only. */
  ifRevision?: bigint | undefined;
  /** The new revision is at least this. */
  minRevision?: bigint | undefined;
  /** The name of the caller. */
  by: string;
  signal: AbortSignal;
  /** Notes for the audit log what was changed, or that nothing was. */
  changed: CallContext["changed"];
}>;

export type PlannedWrite<Write> = Readonly<{
  write: Write;
  /** The change in words for the audit log, without values. */
  detail: string;
}>;

/** The store of one kind, and what a write of it announces. */
export type WriteTarget<Stored extends Revisioned, Write extends Stored & Stamp> = Readonly<{
  kind: EntityKind | "user" | "user_group";
  get(name: string, signal: AbortSignal): Promise<Stored | undefined>;
  write(write: Write, signal: AbortSignal): Promise<WriteOutcome>;
  /** Announces a write that is stored (V3). */
  announce(planned: PlannedWrite<Write>): void;
  /** Called after a write that may be stored. */
  unknown?(name: string): void;
}>;

/** The stored state after a write; `wrote` is false if nothing differed. */
export type WriteResult<Stored> = Readonly<{ stored: Stored; wrote: boolean }>;

/** Changes of one name that wait in one shard. */
const WAITING_LIMIT = 256;

export class ConditionalWriter<Stored extends Revisioned, Write extends Stored & Stamp> {
  readonly #target: WriteTarget<Stored, Write>;
  readonly #clock: Clock;
  readonly #queue = new KeyedQueue(WAITING_LIMIT);

  constructor(target: WriteTarget<Stored, Write>, clock: Clock) {
    this.#target = target;
    this.#clock = clock;
  }

  /**
   * Plans a change of what is stored (undefined: nothing was ever; a tombstone is given, too), and stores it. `plan` may be called several times; it returns
   * undefined if nothing differs, and throws what is wrong with the change (not_found, already_exists, ...). Rejects with `conflict` if the stored revision is not
   * if_revision, or if others were faster each time, and with `unavailable` if the outcome of the write is unknown.
   */
  write(
    request: WriteRequest,
    plan: (stored: Stored | undefined, stamp: Stamp) => Promise<PlannedWrite<Write> | undefined>,
  ): Promise<WriteResult<Stored>> {
    const { kind } = this.#target;
    const { name, signal } = request;
    return this.#queue.run(`${kind} ${name}`, signal, () => compareAndSet({ ...request, kind }, this.#clock, () => this.#attempt(request, plan)));
  }

  async #attempt(request: WriteRequest, plan: Parameters<typeof this.write>[1]): Promise<Attempt<WriteResult<Stored>>> {
    const { name, signal, changed } = request;
    const { kind } = this.#target;
    const stored = await this.#target.get(name, signal);
    if (stored !== undefined && !stored.deleted) checkRevision({ ...request, kind }, stored.revision);
    const planned = await plan(stored, this.#stampOf(request, stored?.revision ?? 0n));
    if (planned === undefined) {
      if (stored === undefined || stored.deleted) throw new NebulaError("internal", "a change of nothing was planned");
      const { revision } = stored;
      changed({ kind, name, revisionBefore: revision, revisionAfter: revision, detail: "nothing differs" });
      return { kind: "done", value: { stored, wrote: false } };
    }
    const { write, detail } = planned;
    const outcome = await this.#target.write(write, signal);
    if (outcome.kind === "unknown") this.#target.unknown?.(name);
    if (outcome.kind !== "written") return outcome;
    changed({ kind, name, revisionBefore: write.expected, revisionAfter: write.revision, detail });
    this.#target.announce(planned); // V3
    return { kind: "done", value: { stored: write, wrote: true } };
  }

  #stampOf({ name, minRevision = 0n, by }: WriteRequest, expected: bigint): Stamp {
    const revision = minRevision > expected ? minRevision : expected + 1n; // V1
    return { name, expected, revision, changedAt: this.#clock.now(), changedBy: by };
  }
}

// --- compare and set

type Conditional = Readonly<{ kind: string; name: string; ifRevision?: bigint | undefined; signal: AbortSignal }>;

/** The result of one try: done, or the outcome of a write that was not stored, or may be. */
type Attempt<T> = Readonly<{ kind: "done"; value: T }> | Exclude<WriteOutcome, { kind: "written" }>;

/** Tries of a change without if_revision, each from what another shard has just written. */
const TRIES = 8;
/** The longest wait before the second try, milliseconds; it grows with each. */
const BACK_OFF_MS = 10;

/** Tries until a write is stored, each time from what is stored then; with if_revision once. */
async function compareAndSet<T>(change: Conditional, clock: Clock, attempt: () => Promise<Attempt<T>>): Promise<T> {
  const tries = change.ifRevision === undefined ? TRIES : 1;
  let found = 0n;
  for (let done = 1; done <= tries; done++) {
    change.signal.throwIfAborted();
    const outcome = await attempt();
    if (outcome.kind === "done") return outcome.value;
    if (outcome.kind === "unknown") throw outcomeUnknown(change);
    found = outcome.revision;
    if (change.ifRevision !== undefined) checkRevision(change, found);
    if (done < tries) await clock.sleep(Math.random() * BACK_OFF_MS * done, change.signal);
  }
  throw new NebulaError(
    "conflict",
    `${change.kind} ${change.name} was changed by others ${tries} times meanwhile (now revision ${found}): try again`,
  );
}

/** The error for a write that may be stored. A caller that retries reads first, so that an update that is stored is not made twice. */
function outcomeUnknown({ kind, name }: Conditional): NebulaError {
  return new NebulaError("unavailable", `${kind} ${name}: outcome unknown, the store did not say whether the change is stored: read it, then decide`);
}

/** Throws `conflict` if the stored revision is not if_revision. */
function checkRevision({ kind, name, ifRevision }: Omit<Conditional, "signal">, revision: bigint): void {
  if (ifRevision === undefined || revision === ifRevision) return;
  throw new NebulaError("conflict", `${kind} ${name} is at revision ${revision}, not at ${ifRevision} (if_revision): read it again, then decide`);
}

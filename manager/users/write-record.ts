import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore, ChangedBy } from "../../common/storage/access-store.ts";
import type { WriteOutcome } from "../../common/storage/config-store.ts";
import { type Attempt, checkRevision, compareAndSet } from "../entities/compare-and-set.ts";
import { KeyedQueue } from "../entities/keyed-queue.ts";
import { type CallContext, nameOf } from "../rpc/call-context.ts";

export type RecordDeps = Readonly<{ accessStore: AccessStore; changeFeed: ChangeFeed; clock: Clock; log: Log }>;

/** A user or a user_group as the access store has it; `Fields` is what tells them apart. */
export type StoredRecord<Fields> = ChangedBy & Readonly<{ name: string; revision: bigint; deleted: boolean }> & Fields;

/** Where records of one kind are. */
export type RecordStore<Fields> = Readonly<{
  kind: "user" | "user_group";
  get(name: string): Promise<StoredRecord<Fields> | undefined>;
  write(write: StoredRecord<Fields> & { expected: bigint }): Promise<WriteOutcome>;
}>;

/** What a change makes of what is stored. `detail`: what it was, for the audit log, without values. */
export type PlannedRecord<Fields> = Readonly<
  | { kind: "write"; fields: Fields; detail: string }
  /** `fields`: what the tombstone keeps. */
  | { kind: "delete"; fields: Fields }
  /** What is stored stays, and no revision is given. */
  | { kind: "keep" }
>;

export type RecordChange = Readonly<{ name: string; ifRevision?: bigint | undefined }>;

/** Changes of one name that wait in one shard. */
const WAITING_LIMIT = 256;

/**
 * Writes users or user_groups by compare-and-set.
 * 1. What is written was made from exactly the revision that it replaces: the new revision is above it, and given to nothing else.
 * 2. Changes of one name queue up within a shard; only those of other shards cost tries.
 * 3. A write is announced after it is stored. No credential goes into the log or the announcement.
 */
export class RecordWriter<Fields> {
  readonly #store: RecordStore<Fields>;
  readonly #deps: RecordDeps;
  readonly #queue = new KeyedQueue(WAITING_LIMIT);

  constructor(store: RecordStore<Fields>, deps: RecordDeps) {
    this.#store = store;
    this.#deps = deps;
  }

  /**
   * Plans a change of what is stored (undefined: nothing, or a tombstone), stores it, and answers what is stored then. `plan` may be called several times, and
   * throws what is wrong with the change. Rejects with `conflict` when the record is not at if_revision, or when others were faster each time.
   */
  write(
    request: RecordChange,
    context: CallContext,
    plan: (current: StoredRecord<Fields> | undefined) => PlannedRecord<Fields>,
  ): Promise<StoredRecord<Fields>> {
    const { kind } = this.#store;
    const change = { ...request, kind, signal: context.signal };
    return this.#queue.run(`${kind} ${request.name}`, context.signal, () =>
      compareAndSet(change, this.#deps.clock, async (): Promise<Attempt<StoredRecord<Fields>>> => {
        const stored = await this.#store.get(request.name);
        const current = stored === undefined || stored.deleted ? undefined : stored;
        if (current !== undefined) checkRevision(change, current.revision);
        const planned = plan(current);
        if (planned.kind === "keep") return { kind: "done", value: this.#kept(current, context) };
        const expected = stored?.revision ?? 0n;
        const next: StoredRecord<Fields> = {
          ...planned.fields,
          name: request.name,
          revision: expected + 1n, // 1
          deleted: planned.kind === "delete",
          changedAt: this.#deps.clock.now(),
          changedBy: nameOf(context.principal),
        };
        const outcome = await this.#store.write({ ...next, expected });
        if (outcome.kind === "conflict") return outcome;
        this.#announce(next, expected, planned.kind === "delete" ? "delete" : planned.detail, context); // 3
        return { kind: "done", value: next };
      }),
    );
  }

  #kept(current: StoredRecord<Fields> | undefined, { changed }: CallContext): StoredRecord<Fields> {
    if (current === undefined) throw new NebulaError("internal", "a change of nothing was planned");
    const { name, revision } = current;
    changed({ kind: this.#store.kind, name, revisionBefore: revision, revisionAfter: revision, detail: "nothing differs" });
    return current;
  }

  #announce({ name, revision, changedBy }: StoredRecord<Fields>, before: bigint, detail: string, { changed }: CallContext): void {
    const { kind } = this.#store;
    changed({ kind, name, revisionBefore: before, revisionAfter: revision, detail });
    void this.#deps.changeFeed.publish({ kind: "access", subject: `${kind}/${name}` }); // never rejects, and no answer waits for a hint
    this.#deps.log.info({ kind, name, revision: String(revision), change: detail, by: changedBy }, "access changed");
  }
}

/** The error for a record that is not there. */
export function noSuchRecord(kind: "user" | "user_group", name: string): NebulaError {
  return new NebulaError("not_found", `there is no ${kind} ${name}: create it first, or look for its name in the list`);
}

/** The error for a record that is there already. */
export function recordExists(kind: "user" | "user_group", { name, revision }: { name: string; revision: bigint }): NebulaError {
  return new NebulaError("already_exists", `${kind} ${name} exists already, at revision ${revision}: update it, or choose another name`);
}

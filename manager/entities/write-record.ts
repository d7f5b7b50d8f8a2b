import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore, ChangedBy } from "../../common/storage/access-store.ts";
import type { WriteOutcome } from "../../common/storage/config-store.ts";
import { nameOf } from "../access/principal.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { ConditionalWriter, type PlannedWrite, type Stamp } from "./conditional-writer.ts";

export type RecordDeps = Readonly<{ accessStore: AccessStore; changeFeed: ChangeFeed; clock: Clock; log: Log }>;

/** A user or a user_group as the access store holds it; the two differ in `Fields`. */
export type StoredRecord<Fields> = ChangedBy & Readonly<{ name: string; revision: bigint; deleted: boolean }> & Fields;

type RecordWrite<Fields> = StoredRecord<Fields> & Stamp;

/** The store of the records of one kind. */
export type RecordStore<Fields> = Readonly<{
  kind: "user" | "user_group";
  get(name: string, signal: AbortSignal): Promise<StoredRecord<Fields> | undefined>;
  write(write: StoredRecord<Fields> & { expected: bigint }, signal: AbortSignal): Promise<WriteOutcome>;
}>;

/** The change that a plan makes of a record. */
export type PlannedRecord<Fields> = Readonly<
  /** `detail`: what is changed, for the audit log, without values. */
  | { kind: "write"; fields: Fields; detail: string }
  /** `fields`: the fields of the tombstone. */
  | { kind: "delete"; fields: Fields }
  /** Nothing is written, and no revision is given. */
  | { kind: "keep" }
>;

export type RecordChange = Readonly<{ name: string; ifRevision?: bigint | undefined }>;

/** Writes users or user_groups by compare-and-set. Neither the log nor an announcement holds a credential. */
export class RecordWriter<Fields> {
  readonly #kind: "user" | "user_group";
  readonly #deps: RecordDeps;
  readonly #writer: ConditionalWriter<StoredRecord<Fields>, RecordWrite<Fields>>;

  constructor(store: RecordStore<Fields>, deps: RecordDeps) {
    this.#kind = store.kind;
    this.#deps = deps;
    const target = {
      ...store,
      announce: (planned: PlannedWrite<RecordWrite<Fields>>) => this.#announce(planned),
      unknown: (name: string) => this.#publish(name), // it may be stored: open watches are checked against the store
    };
    this.#writer = new ConditionalWriter(target, deps.clock);
  }

  /**
   * Plans a change of what is stored (undefined: nothing, or a tombstone), stores it, and returns what is stored then. `plan` may be called several times, and
   * throws what is wrong with the change. Rejects as ConditionalWriter.write does.
   */
  async write(
    change: RecordChange,
    { principal, signal, changed }: CallContext,
    plan: (current: StoredRecord<Fields> | undefined) => PlannedRecord<Fields>,
  ): Promise<StoredRecord<Fields>> {
    const request = { ...change, by: nameOf(principal), signal, changed };
    const { stored } = await this.#writer.write(request, async (known, stamp) => {
      const planned = plan(known?.deleted === true ? undefined : known);
      if (planned.kind === "keep") return undefined;
      const isDelete = planned.kind === "delete";
      return { write: { ...planned.fields, ...stamp, deleted: isDelete }, detail: isDelete ? "delete" : planned.detail };
    });
    return stored;
  }

  #announce({ write: { name, revision, changedBy: by }, detail: change }: PlannedWrite<RecordWrite<Fields>>): void {
    this.#publish(name);
    this.#deps.log.info({ kind: this.#kind, name, revision: String(revision), change, by }, "access changed");
  }

  #publish(name: string): void {
    this.#deps.changeFeed.publish({ kind: "access", subject: `${this.#kind}/${name}` }); // not awaited: it is a hint
  }
}

/** The error for a record that exists already. */
export function recordExists(kind: "user" | "user_group", { name, revision }: { name: string; revision: bigint }): NebulaError {
  return new NebulaError("already_exists", `${kind} ${name} exists already, at revision ${revision}: update it, or choose another name`);
}

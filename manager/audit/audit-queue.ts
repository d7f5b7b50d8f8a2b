/**
 * The way of entries into the audit log.
 * Q1 Entries are appended in the order in which they came, in batches, one at a time.
 * Q2 The queue is bounded. An entry that finds the queue full, or that the store does not take, goes whole into the process's log and is counted: it
 *    is never silently gone, and no call fails for it, as its change was made.
 */
import { toJson } from "@bufbuild/protobuf";
import { Counter, type Registry } from "prom-client";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { type AuditEntry, AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";

/** Entries that wait for the store. */
export const MOST_WAITING = 5000;
/** Entries of one append: SQLite has the event loop to itself meanwhile. */
const BATCH = 250;

export type AuditQueueParts = Readonly<{ store: Pick<AccessStore, "appendAudit">; log: Log; registry: Registry }>;

export class AuditQueue {
  readonly #store: AuditQueueParts["store"];
  readonly #log: Log;
  readonly #entries: Counter<"result">;
  #waiting: AuditEntry[] = [];
  /** The run that will take what waits. */
  #next: Promise<void> | undefined;
  /** The last run that was begun or is to begin. */
  #last: Promise<void> = Promise.resolve();

  constructor({ store, log, registry }: AuditQueueParts) {
    this.#store = store;
    this.#log = log;
    this.#entries = new Counter({
      name: "nebula_audit_entries_total",
      help: "Entries of the audit log; lost: not taken by the store, they are in the process's log instead.",
      labelNames: ["result"],
      registers: [registry],
    });
    for (const result of ["stored", "lost"] as const) this.#entries.inc({ result }, 0);
  }

  /** Resolves when the entry is stored, or is in the log in place of that (Q2). Never rejects. */
  append(entry: AuditEntry): Promise<void> {
    if (this.#waiting.length >= MOST_WAITING) {
      this.#lost([entry], `${MOST_WAITING} entries wait for the store`);
      return Promise.resolve();
    }
    this.#waiting.push(entry);
    if (this.#next === undefined) {
      this.#next = this.#last.then(turnOfTheLoop).then(() => this.#run()); // Q1
      this.#last = this.#next;
    }
    return this.#next;
  }

  /** Resolves when nothing waits any more. */
  async drained(): Promise<void> {
    while (this.#next !== undefined) await this.#next;
    await this.#last;
  }

  async #run(): Promise<void> {
    this.#next = undefined;
    const entries = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < entries.length; from += BATCH) {
      const batch = entries.slice(from, from + BATCH);
      try {
        await this.#store.appendAudit(batch);
        this.#entries.inc({ result: "stored" }, batch.length);
      } catch (error) {
        this.#lost(batch, messageOf(error));
      }
    }
  }

  #lost(entries: readonly AuditEntry[], reason: string): void {
    this.#entries.inc({ result: "lost" }, entries.length);
    for (const entry of entries) this.#log.error({ audit: toJson(AuditEntrySchema, entry), reason }, "an audit entry was not stored");
  }
}

/** Calls that are answered in one turn of the event loop share one append. */
function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

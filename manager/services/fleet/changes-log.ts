/**
 * The changes of entities in the last hour, from the audit log, which has many more entries: of refused calls, too.
 *
 * L1 The hour is read once. Later reads ask for what came since the read before, and LATE_MS more: an entry of a call that took long, or of a manager whose
 *    clock is behind, is in the log by then. Older entries are kept as they were read.
 * L2 A read asks for MOST_PAGES pages at most, be they full or empty: a store may go through thousands of entries for an empty one. Where that was too few, or there
 *    are more than MOST_CHANGES changes, older ones are unknown, which `hasMore` says until they are older than an hour.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Clock } from "../../../common/clock/clock.ts";
import type { AccessStore } from "../../../common/storage/access-store.ts";
import type { AuditEntry } from "../../../gen/nebula/v1/audit_pb.ts";
import { isChange } from "../history-service.ts";

/** How far back changes go, milliseconds. */
export const CHANGES_MS = 3_600_000;
/** L1, milliseconds. */
export const LATE_MS = 60_000;
export const MOST_CHANGES = 1000;
/** L2 */
export const MOST_PAGES = 10;
const ENTRIES = 500;

export type ChangesLogParts = Readonly<{ accessStore: Pick<AccessStore, "listAudit">; clock: Clock }>;

export class ChangesLog {
  readonly #parts: ChangesLogParts;
  #changes: readonly AuditEntry[] = [];
  #hasMore = false;
  /** When the last read that did not fail began, milliseconds since 1970. */
  #readAt: number | undefined;
  /** L2: changes of this time, and before it, may be unknown; milliseconds since 1970. */
  #unknownUntil = Number.NEGATIVE_INFINITY;

  constructor(parts: ChangesLogParts) {
    this.#parts = parts;
  }

  /** Newest first. */
  get changes(): readonly AuditEntry[] {
    return this.#changes;
  }

  /** Whether there are more than these. */
  get hasMore(): boolean {
    return this.#hasMore;
  }

  /** Reads the log; answers whether anything changed. One read at a time. Rejects as the store does, and keeps what was read before then. */
  async read(signal: AbortSignal): Promise<boolean> {
    const now = this.#parts.clock.now();
    const hour = now - CHANGES_MS;
    const from = Math.max(hour, Math.min(now, this.#readAt ?? hour) - LATE_MS); // the wall clock may have been set back
    const { found, isAll } = await this.#readFrom(from, signal);
    const older = isAll ? this.#changes.filter((entry) => atOf(entry) < from && atOf(entry) >= hour) : [];
    const changes = [...found, ...older].slice(0, MOST_CHANGES);
    const isCut = !isAll || changes.length < found.length + older.length;
    if (isCut) this.#unknownUntil = changes.length === 0 ? now : atOf(changes.at(-1));
    this.#readAt = now;
    const hasMore = this.#unknownUntil >= hour;
    const isSame =
      hasMore === this.#hasMore && changes.length === this.#changes.length && changes.every(({ id }, index) => id === this.#changes[index]?.id);
    this.#hasMore = hasMore;
    this.#changes = changes;
    return !isSame;
  }

  /** The changes since a time, newest first; `isAll`: no older ones are left in that time (L2). */
  async #readFrom(fromMs: number, signal: AbortSignal): Promise<{ found: AuditEntry[]; isAll: boolean }> {
    const found: AuditEntry[] = [];
    let after: string | undefined;
    for (let pages = 0; pages < MOST_PAGES && found.length <= MOST_CHANGES; pages++) {
      const page = { limit: ENTRIES, ...(after === undefined ? {} : { after }) };
      const { items, next } = await this.#parts.accessStore.listAudit({ outcome: "OK", fromMs }, page, signal);
      found.push(...items.filter(isChange));
      if (next === undefined) return { found, isAll: true };
      after = next;
    }
    return { found, isAll: false };
  }
}

/** When an entry was made, milliseconds since 1970. */
export function atOf(entry: AuditEntry | undefined): number {
  return entry?.at === undefined ? 0 : timestampMs(entry.at);
}

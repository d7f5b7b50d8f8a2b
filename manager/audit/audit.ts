import type { DescMethod } from "@bufbuild/protobuf";
import type { Registry } from "prom-client";
import type { Clock } from "../../common/clock/clock.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { removeOld } from "../../common/storage/remove-old.ts";
import type { AuditEntry } from "../../gen/nebula/v1/audit_pb.ts";
import { AuditQueue } from "./audit-queue.ts";
import { CallRecord, NOBODY } from "./call-record.ts";
import { RefusalFold } from "./refusal-fold.ts";

/** How long equal refusals are counted together, milliseconds. */
const FOLD_MS = 60_000;

/** The audit log as calls see it. */
export type Audit = {
  /** Begins the record of one call. `peer`: address and port of the connection. */
  begin(method: DescMethod, call: Readonly<{ peer: string; requestId: string }>): CallRecord;
};

export type RunningAudit = Audit & AsyncDisposable;

export type AuditParts = Readonly<{ accessStore: Pick<AccessStore, "appendAudit">; clock: Clock; log: Log; registry: Registry }>;

/** Opens the audit log. Disposing it stores what was counted and what waits; calls have to be over by then. */
export function createAudit({ accessStore, clock, log, registry }: AuditParts): RunningAudit {
  const queue = new AuditQueue({ store: accessStore, log, registry });
  // Kept apart: however many come without a valid credential, they hide nothing that a known caller was refused.
  const folds = { nobody: new RefusalFold(), known: new RefusalFold() };
  const life = new AbortController();
  let folding: Promise<void> = Promise.resolve();

  async function foldFor(ms: number): Promise<void> {
    await clock.sleep(ms, life.signal).catch(() => {}); // a stop ends the minute early
    await Promise.all([...folds.known.drain(), ...folds.nobody.drain()].map((entry) => queue.append(entry)));
  }

  function refused(refusal: AuditEntry): Promise<void> {
    if (folds.nobody.empty && folds.known.empty) folding = foldFor(FOLD_MS);
    const entry = folds[refusal.who === NOBODY ? "nobody" : "known"].add(refusal);
    return entry === undefined ? Promise.resolve() : queue.append(entry);
  }

  const sink = { recorded: (entry: AuditEntry) => queue.append(entry), refused, now: () => clock.now() };
  return {
    begin: (method, call) => new CallRecord(method, call, sink),
    async [Symbol.asyncDispose]() {
      life.abort();
      await folding;
      await queue.drained();
    },
  };
}

/** An entry is kept at most this long beyond its time, milliseconds. */
const EVERY_MS = 10 * 60_000;
const PAUSE_MS = 50;

export type ExpireAuditParts = Readonly<{
  accessStore: Pick<AccessStore, "expireAudit">;
  /** Age from which on an entry is removed, milliseconds. */
  retentionMs: number;
  clock: Clock;
  log: Log;
}>;

/** Removes old audit entries until the signal is aborted; resolves then. */
export function expireAudit({ accessStore, retentionMs, clock, log }: ExpireAuditParts, signal: AbortSignal): Promise<void> {
  const remove = (beforeMs: number) => accessStore.expireAudit(beforeMs);
  return removeOld({ remove, keptMs: retentionMs, everyMs: EVERY_MS, pauseMs: PAUSE_MS, what: "audit entries", clock, log }, signal);
}

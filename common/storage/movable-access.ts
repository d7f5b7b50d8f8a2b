import type { AuditEntry } from "../../gen/nebula/v1/audit_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import {
  type AccessRecord,
  type AuditLog,
  type DeviceTokens,
  type EnrolmentTokens,
  recordKey,
  type UserGroupRecords,
  type UserRecords,
} from "./access-store.ts";
import { assertSame, type Movable } from "./movable.ts";

/** Entries of the audit log that are read at a time. */
const ENTRIES = 500;

/** The operations of a driver on its records, each by its key. */
export type AccessRecordParts = Pick<UserRecords, "getUser"> &
  Pick<UserGroupRecords, "getUserGroup"> &
  Pick<EnrolmentTokens, "enrolment"> &
  Pick<DeviceTokens, "deviceToken"> &
  Pick<AuditLog, "listAudit"> &
  Readonly<{
    auditEntry(id: string, signal?: AbortSignal): Promise<AuditEntry | undefined>;
    /** The key of each record of a kind; one that is gone meanwhile may be among them. */
    keys(kind: Exclude<AccessRecord["kind"], "audit">, signal?: AbortSignal): AsyncIterable<string> | Iterable<string>;
    /** Puts a record whose key is free. */
    put(record: AccessRecord, signal?: AbortSignal): Promise<void>;
  }>;

/** Records of the access store as one store hands them to another, on any driver. */
export function movableAccess(parts: AccessRecordParts): Movable<AccessRecord> {
  async function read(kind: AccessRecord["kind"], key: string, signal?: AbortSignal): Promise<AccessRecord | undefined> {
    signal?.throwIfAborted();
    switch (kind) {
      case "user": {
        const user = await parts.getUser(key, signal);
        return user && { kind, user };
      }
      case "user_group": {
        const userGroup = await parts.getUserGroup(key, signal);
        return userGroup && { kind, userGroup };
      }
      case "enrolment": {
        const enrolment = await parts.enrolment(key, signal);
        return enrolment && { kind, enrolment };
      }
      case "device": {
        const device = await parts.deviceToken(key, signal);
        return device && { kind, device };
      }
      case "audit": {
        const entry = await parts.auditEntry(key, signal);
        return entry && { kind, entry };
      }
      default:
        return assertNever(kind);
    }
  }

  async function* auditEntries(signal?: AbortSignal): AsyncGenerator<AccessRecord> {
    for (let after: string | undefined; ; ) {
      const page = await parts.listAudit({}, after === undefined ? { limit: ENTRIES } : { limit: ENTRIES, after }, signal);
      for (const entry of page.items) yield { kind: "audit", entry };
      if (page.next === undefined) return;
      after = page.next;
    }
  }

  return {
    async *everything(kind, signal) {
      if (kind === "audit") return yield* auditEntries(signal);
      for await (const key of parts.keys(kind, signal)) {
        const record = await read(kind, key, signal);
        if (record !== undefined) yield record;
      }
    },

    counterpart: (record, signal) => read(record.kind, recordKey(record), signal),

    async adopt(record, signal) {
      const found = await read(record.kind, recordKey(record), signal);
      if (found !== undefined) return assertSame(found, record, `${record.kind} "${recordKey(record)}"`);
      await parts.put(record, signal);
    },
  };
}

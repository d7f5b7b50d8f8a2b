import { clone, toBinary } from "@bufbuild/protobuf";
import { type AuditEntry, AuditEntrySchema } from "../../../../gen/nebula/v1/audit_pb.ts";
import { assertNever } from "../../../errors/assert-never.ts";
import type { AccessRecord, AuditLog, DeviceTokens, EnrolmentTokens, StoredDeviceToken, UserGroupRecords, UserRecords } from "../../access-store.ts";
import { auditKey } from "../../audit-id.ts";
import type { WriteOutcome } from "../../config-store.ts";
import { type Movable, unknownOutcome } from "../../movable.ts";
import { movableAccess } from "../../movable-access.ts";
import { keysInPages, optional, text } from "../statements.ts";
import type { AccessDatabase } from "./access-database.ts";
import { entryOf } from "./audit-log.ts";

/** Keys that are read at a time. */
const KEYS = 500;

type Parts = UserRecords & UserGroupRecords & EnrolmentTokens & DeviceTokens & AuditLog;

/** Records of the access store as one store hands them to another. */
export function createAccessRecords({ prepare, attempt, change, claim }: AccessDatabase, parts: Parts): Movable<AccessRecord> {
  const keysOf = (table: string, column: string) =>
    prepare(`SELECT ${column} AS key FROM ${table} WHERE ${column} > ? ORDER BY ${column} LIMIT ${KEYS}`);
  const listKeys = {
    user: keysOf("user", "name"),
    user_group: keysOf("user_group", "name"),
    enrolment: keysOf("enrolment", "id"),
    device: keysOf("device", "device_id"),
  } as const;
  const putDevice = prepare(
    "INSERT INTO device (device_id, device_group, token_hash, next_hash, enrolment_id, enrolled_at, rotated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const selectEntry = prepare("SELECT at, number, body FROM audit WHERE number = ? AND at = ?");
  const putEntry = prepare("INSERT INTO audit (number, at, who, kind, name, outcome, body) VALUES (?, ?, ?, ?, ?, ?, ?)");

  async function auditEntry(id: string): Promise<AuditEntry | undefined> {
    const { at, number } = auditKey(id);
    return attempt("read the audit log", () => optional(selectEntry.get(number, at), entryOf));
  }

  function keys(kind: keyof typeof listKeys): Iterable<string> {
    return keysInPages((after) => attempt("list records", () => listKeys[kind].all(after)).map((row) => text(row, "key")), KEYS);
  }

  function adoptDevice(device: StoredDeviceToken): void {
    const { deviceId, deviceGroup, tokenHash, nextHash, enrolmentId, enrolledAt, rotatedAt } = device;
    change("write a device's token", () => {
      for (const hash of [tokenHash, nextHash]) claim(hash, { kind: "device", owner: deviceId }); // A3
      putDevice.run(deviceId, deviceGroup, tokenHash, nextHash, enrolmentId, enrolledAt, rotatedAt);
    });
  }

  async function put(record: AccessRecord): Promise<void> {
    switch (record.kind) {
      case "user":
        return assertWritten(await parts.writeUser({ ...record.user, expected: 0n }));
      case "user_group":
        return assertWritten(await parts.writeUserGroup({ ...record.userGroup, expected: 0n }));
      case "enrolment":
        await parts.createEnrolment(record.enrolment);
        return;
      case "device":
        return adoptDevice(record.device);
      case "audit": {
        const { at, number } = auditKey(record.entry.id);
        const entry = clone(AuditEntrySchema, record.entry);
        entry.id = ""; // given by the row
        const { who, kind, name, outcome } = entry;
        change("append to the audit log", () => putEntry.run(number, at, who, kind, name, outcome, toBinary(AuditEntrySchema, entry)));
        return;
      }
      default:
        return assertNever(record);
    }
  }

  return movableAccess({ ...parts, auditEntry, keys, put });
}

function assertWritten(outcome: WriteOutcome): void {
  if (outcome.kind !== "written") throw unknownOutcome("a record");
}

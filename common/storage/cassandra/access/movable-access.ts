/**
 * Records of the access store as one store hands them to another, while no component runs.
 *
 * V1 The hash of a token is claimed before the row that names it is written: where a user, a device or an enrolment token is stored, its token authenticates.
 * V2 What was begun and cut counts as done: a device that took its use of an enrolment token is in, a credential that is being revoked is not handed on.
 */
import type { Clock } from "../../../clock/clock.ts";
import { assertNever } from "../../../errors/assert-never.ts";
import { NebulaError } from "../../../errors/nebula-error.ts";
import {
  type AccessRecord,
  recordKey,
  type StoredDeviceToken,
  type StoredEnrolment,
  type UserGroupRecords,
  type UserRecords,
} from "../../access-store.ts";
import { type Movable, unknownOutcome } from "../../movable.ts";
import { movableAccess } from "../../movable-access.ts";
import { pagesOf } from "../connection/client.ts";
import { text } from "../connection/rows.ts";
import { ACCESS_PART } from "../schema/access-tables.ts";
import { listEnrolment } from "./access-enrolments.ts";
import { type AccessPartition, type TokenRow, tokenTaken } from "./access-partition.ts";
import type { createAuditLog } from "./audit-log.ts";
import { type DeviceRow, type DeviceRows, deviceTokenOf } from "./device-rows.ts";
import { createEnrolmentRow, enrolmentOf, readEnrolment } from "./enrolment-rows.ts";
import { EnrolmentUses } from "./enrolment-uses.ts";

const KEYS = {
  user: { table: "access", cql: "SELECT name AS key FROM access WHERE part = ? AND kind = ?", params: [ACCESS_PART, "user"] },
  user_group: { table: "access", cql: "SELECT name AS key FROM access WHERE part = ? AND kind = ?", params: [ACCESS_PART, "user_group"] },
  enrolment: { table: "enrolment", cql: "SELECT DISTINCT id AS key FROM enrolment", params: [] },
  device: { table: "device_token", cql: "SELECT device_id AS key FROM device_token", params: [] },
} as const;
/** Keys that are read at a time. */
const AT_ONCE = 500;

type Signal = AbortSignal | undefined;

export type MovableAccessOptions = Readonly<{
  partition: AccessPartition;
  devices: DeviceRows;
  records: UserRecords & UserGroupRecords;
  auditLog: ReturnType<typeof createAuditLog>;
  clock: Clock;
}>;

export function createMovableAccess({ partition, devices, records, auditLog, clock }: MovableAccessOptions): Movable<AccessRecord> {
  const uses = new EnrolmentUses(partition, clock);

  /** V2 */
  async function isIn({ state, deviceId, tokenHash, generation, enrolmentId }: DeviceRow, signal: Signal): Promise<boolean> {
    if (state !== "pending") return state === "in";
    const token = await partition.token(tokenHash, "read", signal);
    if (token !== undefined && (token.kind !== "device" || token.owner !== deviceId)) return false;
    return token?.generation === generation || (await uses.has(enrolmentId, deviceId, generation, signal));
  }

  /** V2 */
  async function enrolment(id: string, signal: Signal): Promise<StoredEnrolment | undefined> {
    const row = await readEnrolment(partition, id, "read", signal);
    return row?.state === "in" ? enrolmentOf(row) : undefined;
  }

  /** V2 */
  async function deviceToken(deviceId: string, signal: Signal): Promise<StoredDeviceToken | undefined> {
    const row = await devices.read(deviceId, "read", signal);
    return row !== undefined && (await isIn(row, signal)) ? deviceTokenOf({ ...row, state: "in" }) : undefined;
  }

  async function* keys(kind: keyof typeof KEYS, signal: Signal): AsyncGenerator<string> {
    const { table, cql, params } = KEYS[kind];
    for await (const rows of pagesOf(partition.client, { cql, params }, { table, kind: "read", fetchSize: AT_ONCE, signal })) {
      for (const row of rows) yield text(row, "key");
    }
  }

  /** V1 */
  async function claim(hash: string, wanted: Omit<TokenRow, "claim">, signal: Signal): Promise<void> {
    if (hash === "") return;
    const { kind } = await partition.claim(hash, wanted, signal);
    if (kind === "unknown") throw unknownOutcome("the token of a record");
    if (kind === "taken") throw tokenTaken();
  }

  async function adoptEnrolment(enrolment: StoredEnrolment, signal: Signal): Promise<void> {
    const { id, tokenHash, deviceGroup } = enrolment;
    await listEnrolment(partition, enrolment, signal);
    await claim(tokenHash, { kind: "enrolment", owner: id, deviceGroup, state: "in_use", generation: 0 }, signal);
    assertChanged(await createEnrolmentRow(partition, enrolment, signal), `enrolment token "${id}"`);
  }

  async function adoptDevice(device: StoredDeviceToken, signal: Signal): Promise<void> {
    const { deviceId, deviceGroup, tokenHash, nextHash } = device;
    const before = await devices.read(deviceId, "serial_read", signal);
    const generation = (before?.generation ?? 0) + 1;
    const row = { ...device, state: "in", generation, endedHash: "" } as const;
    await claim(tokenHash, { kind: "device", owner: deviceId, deviceGroup, state: "in_use", generation }, signal);
    await claim(nextHash, { kind: "device", owner: deviceId, deviceGroup, state: "next", generation }, signal);
    await devices.list(row, signal);
    assertChanged(await devices.put(row, before, signal), `the token of device "${deviceId}"`);
  }

  async function put(record: AccessRecord, signal: Signal): Promise<void> {
    switch (record.kind) {
      case "user":
      case "user_group": {
        const { kind } =
          record.kind === "user"
            ? await records.writeUser({ ...record.user, expected: 0n }, signal)
            : await records.writeUserGroup({ ...record.userGroup, expected: 0n }, signal);
        assertChanged(kind === "written" ? "applied" : kind === "conflict" ? "refused" : "unknown", `${record.kind} "${recordKey(record)}"`);
        return;
      }
      case "enrolment":
        return adoptEnrolment(record.enrolment, signal);
      case "device":
        return adoptDevice(record.device, signal);
      case "audit":
        return auditLog.adoptEntry(record.entry, clock.now(), signal);
      default:
        return assertNever(record);
    }
  }

  const { getUser, getUserGroup } = records;
  const { listAudit, auditEntry } = auditLog;
  return movableAccess({ getUser, getUserGroup, enrolment, deviceToken, listAudit, auditEntry, keys, put });
}

function assertChanged(change: "applied" | "refused" | "unknown", what: string): void {
  if (change === "unknown") throw unknownOutcome(what);
  if (change === "refused") throw new NebulaError("failed_precondition", `${what} is here already, with another content, or was revoked here`);
}

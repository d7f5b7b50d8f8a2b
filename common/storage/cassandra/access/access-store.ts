import type { Clock } from "../../../clock/clock.ts";
import { assertNever } from "../../../errors/assert-never.ts";
import type { AccessStore, TokenOwner } from "../../access-store.ts";
import type { StoreClient } from "../connection/client.ts";
import { createAccessDevices } from "./access-devices.ts";
import { createAccessEnrolments } from "./access-enrolments.ts";
import { AccessPartition, type TokenRow } from "./access-partition.ts";
import { createAccessRecords } from "./access-records.ts";
import { createAccessSessions } from "./access-sessions.ts";
import { createAuditLog } from "./audit-log.ts";
import { DeviceRows, standingOf } from "./device-rows.ts";
import { createMovableAccess } from "./movable-access.ts";

export type CassandraAccessStoreOptions = Readonly<{
  client: StoreClient;
  clock: Clock;
  /** How long the audit log keeps its entries, milliseconds. */
  auditRetentionMs: number;
}>;

/** The access store on a client whose keyspace has the schema. The client stays open: it is the caller's to close. */
export function createCassandraAccessStore({ client, clock, auditRetentionMs }: CassandraAccessStoreOptions): AccessStore {
  const partition = new AccessPartition(client);
  const devices = new DeviceRows(partition);
  const records = createAccessRecords(partition);
  const auditLog = createAuditLog({ client, retentionMs: auditRetentionMs });

  async function tokenOwner(hash: string, signal: AbortSignal | undefined): Promise<TokenOwner | undefined> {
    const token = await partition.token(hash, "read", signal);
    if (token === undefined) return undefined;
    const { kind, owner, deviceGroup } = token;
    switch (kind) {
      case "user": {
        const user = await records.getUser(owner, signal);
        return user?.tokenHash === hash ? { kind, user } : undefined;
      }
      case "enrolment":
        return { kind, id: owner, deviceGroup };
      case "device":
        return token.state === "in_use" ? { kind, deviceId: owner, deviceGroup, isNext: false } : unusedToken(hash, token, signal);
      default:
        return assertNever(kind);
    }
  }

  /**
   * A token that was not used yet counts by its device's row; the first use of one that was enrolled with makes it
   * answer alone.
   */
  async function unusedToken(hash: string, token: TokenRow, signal: AbortSignal | undefined): Promise<TokenOwner | undefined> {
    const { owner: deviceId, deviceGroup } = token;
    const row = await devices.read(deviceId, "serial_read", signal);
    const standing = standingOf(hash, token, row);
    if (standing === undefined) return undefined;
    if (standing === "in_use" && row?.state === "in") await partition.useToken(hash, token, signal); // refused or unknown: the next use tries again
    return { kind: "device", deviceId, deviceGroup, isNext: standing === "next" };
  }

  return {
    stamp: (signal) => partition.stamp(signal),
    tokenOwner,
    ...records,
    ...createAccessEnrolments(partition, devices, clock),
    ...createAccessDevices(partition, devices),
    ...createAccessSessions(partition),
    appendAudit: auditLog.appendAudit,
    listAudit: auditLog.listAudit,
    expireAudit: auditLog.expireAudit,
    records: createMovableAccess({ partition, devices, records, auditLog, clock }),
    async [Symbol.asyncDispose]() {},
  };
}

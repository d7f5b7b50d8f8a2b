import { assertNever } from "../../../errors/assert-never.ts";
import type { AccessStore, TokenOwner } from "../../access-store.ts";
import { openDatabase } from "../open-database.ts";
import { createAccessDatabase } from "./access-database.ts";
import { createAccessDevices } from "./access-devices.ts";
import { createAccessRecords } from "./access-records.ts";
import { ACCESS_MIGRATIONS } from "./access-schema.ts";
import { createAccessSessions } from "./access-sessions.ts";
import { createAccessUsers } from "./access-users.ts";
import { createAuditLog } from "./audit-log.ts";

/**
 * Opens the access store in an SQLite file of its own. Each call is one transaction on this one connection, so calls that come at once follow each other (A2 to A4).
 * @param path the file, made where it is missing, or ":memory:"
 * @throws NebulaError as `openDatabase` does
 */
export async function openSqliteAccessStore({ path }: { path: string }): Promise<AccessStore> {
  const file = openDatabase(path, ACCESS_MIGRATIONS);
  const database = createAccessDatabase(file);
  const [users, devices, auditLog] = [createAccessUsers(database), createAccessDevices(database), createAuditLog(database)];

  async function ownerOf(kind: TokenOwner["kind"], hash: string): Promise<TokenOwner | undefined> {
    switch (kind) {
      case "user": {
        const user = await users.userByTokenHash(hash);
        return user && { kind, user };
      }
      case "device": {
        const device = await devices.deviceByTokenHash(hash);
        return device && { kind, deviceId: device.deviceId, deviceGroup: device.deviceGroup, isNext: device.nextHash === hash };
      }
      case "enrolment": {
        const enrolment = await devices.enrolmentByTokenHash(hash);
        return enrolment && { kind, id: enrolment.id, deviceGroup: enrolment.deviceGroup };
      }
      default:
        return assertNever(kind);
    }
  }

  return {
    async stamp() {
      return database.attempt("read its stamp", database.stamp);
    },
    async tokenOwner(hash) {
      const claimed = database.attempt("read the owner of a token", () => database.ownerOf(hash));
      return claimed && (await ownerOf(claimed.kind, hash));
    },
    ...users,
    ...devices,
    ...createAccessSessions(database),
    ...auditLog,
    records: createAccessRecords(database, { ...users, ...devices, ...auditLog }),
    async [Symbol.asyncDispose]() {
      if (file.isOpen) file.close();
    },
  };
}

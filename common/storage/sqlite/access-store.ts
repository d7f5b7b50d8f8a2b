import type { AccessStore } from "../access-store.ts";
import { createAccessDatabase } from "./access-database.ts";
import { createAccessDevices } from "./access-devices.ts";
import { ACCESS_MIGRATIONS } from "./access-schema.ts";
import { createAccessUsers } from "./access-users.ts";
import { createAuditLog } from "./audit-log.ts";
import { openDatabase } from "./open-database.ts";

/**
 * Opens the access store in an SQLite file of its own. Each call is one transaction on this one connection, so calls that come at once follow each other (A2 to A4).
 * @param path the file, made where it is missing, or ":memory:"
 * @throws NebulaError as `openDatabase` does
 */
export async function openSqliteAccessStore({ path }: { path: string }): Promise<AccessStore> {
  const file = openDatabase(path, ACCESS_MIGRATIONS);
  const database = createAccessDatabase(file);
  return {
    async stamp() {
      return database.attempt("read its stamp", database.stamp);
    },
    ...createAccessUsers(database),
    ...createAccessDevices(database),
    ...createAuditLog(database),
    async [Symbol.asyncDispose]() {
      if (file.isOpen) file.close();
    },
  };
}

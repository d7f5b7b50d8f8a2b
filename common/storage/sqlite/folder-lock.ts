import { lstatSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf, NebulaError } from "../../errors/nebula-error.ts";
import { createForOwner, resultCode } from "./open-database.ts";

/** SQLite's result code for a lock that somebody else holds. */
const SQLITE_BUSY = 5;

/** Open locks. The garbage collector closes a connection that nothing refers to: without this a caller that drops what it got would drop the lock. */
const held = new Set<DatabaseSync>();

/** The lock's file, and the setting that names the folder. */
type Lock = Readonly<{ file: string; setting: string }>;

const SERVER_LOCK: Lock = { file: "lock.db", setting: "NEBULA_DATA" };

/**
 * Makes this process the only one that writes to a data folder, until disposed. The lock is one of the operating system (SQLite's on a file of its
 * own): it ends with the process, however that ends, so nothing stale is left behind.
 * @throws NebulaError failed_precondition when another process has the folder
 */
export function lockFolder(folder: string, { file, setting }: Lock = SERVER_LOCK): Disposable {
  const path = join(folder, file);
  let database: DatabaseSync | undefined;
  try {
    createForOwner(path);
    if (lstatSync(path).isSymbolicLink()) throw new Error(`${path} is a symbolic link: remove it`);
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    if (resultCode(error) === SQLITE_BUSY) {
      throw new NebulaError(
        "failed_precondition",
        `the data folder ${folder} is in use by another Nebula process: stop that one, or give this one a folder of its own (${setting})`,
      );
    }
    throw new NebulaError("unavailable", `the data folder ${folder} can't be used: ${messageOf(error)}`, { cause: error });
  }
  const lock = database;
  held.add(lock);
  return {
    [Symbol.dispose]: () => {
      if (held.delete(lock)) lock.close();
    },
  };
}

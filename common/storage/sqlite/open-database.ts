import { DatabaseSync } from "node:sqlite";
import { messageOf, NebulaError } from "../../errors/nebula-error.ts";

/** How long a statement waits for another process's lock (a backup reads, never writes), milliseconds. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Opens, and where needed creates or upgrades, an SQLite database: WAL, and every commit synced to the disk before it is acknowledged.
 * @param path a file, or ":memory:"
 * @param migrations SQL of every schema version, oldest first; entry i brings the schema from version i to i + 1. Entries are only ever added.
 * @throws NebulaError failed_precondition when the file is of a newer version or no SQLite database; unavailable when it can't be opened
 */
export function openDatabase(path: string, migrations: readonly string[]): DatabaseSync {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  } catch (error) {
    throw new NebulaError("unavailable", `the database ${path} can't be opened: ${messageOf(error)}; its folder has to exist and be writable`, {
      cause: error,
    });
  }
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
    migrate(database, path, migrations);
    return database;
  } catch (error) {
    database.close();
    if (error instanceof NebulaError) throw error;
    throw new NebulaError(
      "failed_precondition",
      `the database ${path} can't be used: ${messageOf(error)}; restore it from a backup, or point NEBULA_DATA elsewhere`,
      {
        cause: error,
      },
    );
  }
}

/** Runs `work` in one transaction: all of it is stored, or nothing. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK"); // a full disk has rolled it back already
    throw error;
  }
}

function migrate(database: DatabaseSync, path: string, migrations: readonly string[]): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.user_version ?? 0);
  if (version > migrations.length) {
    throw new NebulaError(
      "failed_precondition",
      `the database ${path} has schema version ${version}, this program knows ${migrations.length}: run a newer Nebula`,
    );
  }
  for (let next = version; next < migrations.length; next++) {
    inTransaction(database, () => database.exec(`${migrations[next]}; PRAGMA user_version = ${next + 1}`));
  }
}

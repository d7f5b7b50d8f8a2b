import { closeSync, existsSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../../clock/system-clock.ts";
import { TurnTime } from "../../clock/turn-time.ts";
import { messageOf, NebulaError } from "../../errors/nebula-error.ts";
import type { WriteOutcome } from "../config-store.ts";

/** How long a statement waits for another process's lock (a backup reads, never writes), milliseconds. */
const BUSY_TIMEOUT_MS = 5000;

/** SQLite's result codes for a file that is damaged, or that never was a database: https://www.sqlite.org/rescode.html */
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/**
 * Opens, and where needed creates or upgrades, an SQLite database: WAL, and every commit synced to the disk before it is acknowledged. A file that is made
 * here is its owner's alone (0600): it holds env values.
 * @param path a file in an existing folder, or ":memory:"
 * @param migrations SQL of every schema version, oldest first; entry i brings the schema from version i to i + 1. Entries are only ever added.
 * @throws NebulaError failed_precondition when the file is of a newer version, damaged or no SQLite database; unavailable when it can't be opened or written
 */
export function openDatabase(path: string, migrations: readonly string[]): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (path !== ":memory:") createForOwner(path);
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
    migrate(database, path, migrations);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof NebulaError) throw error;
    const code = resultCode(error);
    if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) {
      throw new NebulaError(
        "failed_precondition",
        `the database ${path} is damaged, or is not a database (${messageOf(error)}): restore it from a backup, or point NEBULA_DATA elsewhere`,
        { cause: error },
      );
    }
    throw new NebulaError("unavailable", `the database ${path} can't be opened (${messageOf(error)}): its folder has to exist and be writable`, {
      cause: error,
    });
  }
}

/** Makes the file where there is none. One that is there is not opened: closing it again would drop the locks of this process's other connections. */
export function createForOwner(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600)); // SQLite gives its -wal and -shm files the same mode
  } catch (error) {
    if (!existsSync(path)) throw error;
  }
}

/**
 * Runs `work` in one transaction: all of it is stored, or nothing.
 * @throws what `work` throws; UnknownCommitError when the commit itself failed
 */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    commit(database);
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK"); // a full disk has rolled it back already
    throw error;
  }
}

/**
 * Does something with each item, in as many transactions as it takes to hold the event loop for HELD_MS at a time: mostly one. `transaction` runs a part of it.
 * Rejects with the reason of the signal where that is aborted between two.
 */
export async function inTurns<T>(
  items: readonly T[],
  transaction: (part: () => void) => void,
  each: (item: T) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const left = items.values(); // goes on where a part has left off
  let done = 0;
  for (const time = new TurnTime(systemClock); ; await time.next(signal)) {
    transaction(() => {
      for (const item of left) {
        each(item);
        done++;
        if (time.isOver) return;
      }
    });
    if (done === items.length) return;
  }
}

/** Runs reads in one transaction, which see the same: a read by itself takes, and returns, the locks of the file. */
export function inReadTransaction<T>(database: DatabaseSync, read: () => T): T {
  database.exec("BEGIN");
  try {
    return read();
  } finally {
    if (database.isTransaction) database.exec("COMMIT");
  }
}

/** Returns the primary result code of an error of SQLite; undefined for any other error. */
export function resultCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : undefined;
}

function commit(database: DatabaseSync): void {
  try {
    database.exec("COMMIT");
  } catch (error) {
    // When the sync failed, the commit may be in the file all the same, and come back after a crash.
    throw new UnknownCommitError(error);
  }
}

/** A commit failed: the transaction may be stored or not. */
export class UnknownCommitError extends NebulaError {
  constructor(cause: unknown) {
    super("unavailable", `the store could not commit, outcome unknown: ${messageOf(cause)}`, { cause });
  }
}

/** Runs a write; a commit whose outcome is not known is a value. */
export function knownOrUnknown(write: () => WriteOutcome): WriteOutcome {
  try {
    return write();
  } catch (error) {
    if (error instanceof UnknownCommitError) return { kind: "unknown" };
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

import { existsSync } from "node:fs";
import { chmod, rename, rm } from "node:fs/promises";
import { backup, DatabaseSync } from "node:sqlite";
import { messageOf, NebulaError } from "../../errors/nebula-error.ts";

/**
 * Copies an SQLite store whole, also while a server writes to it: the copy is the store at one moment. (Copied files are no backup: newest commits are in the WAL.)
 * @throws NebulaError already_exists when `to` is there, not_found when `from` is not
 */
export async function backupSqlite(from: string, to: string): Promise<void> {
  if (!existsSync(from)) throw new NebulaError("not_found", `there is no store ${from}`);
  if (existsSync(to)) throw new NebulaError("already_exists", `${to} is there already: a backup never overwrites, name another file`);
  const partial = `${to}.partial`;
  await rm(partial, { force: true });
  const source = new DatabaseSync(from, { readOnly: true, timeout: 5000 });
  try {
    // One read transaction for the whole copy: else every commit of the server in between would restart it.
    source.exec("BEGIN; SELECT count(*) FROM sqlite_schema");
    await backup(source, partial);
    await chmod(partial, 0o600);
    await rename(partial, to);
  } catch (error) {
    await rm(partial, { force: true });
    throw new NebulaError("unavailable", `the backup of ${from} failed: ${messageOf(error)}`, { cause: error });
  } finally {
    source.close();
  }
}

import { chmod, copyFile, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { systemReason } from "../../../../common/errors/system-reason.ts";
import { NEXT_CLUSTER_KEY, SECRET_FILES } from "../../../../common/keys/key-files.ts";
import { makeFolder } from "../../../../common/make-folder.ts";
import { ACCESS_DATABASE, CONFIG_DATABASE, REPORT_DATABASE } from "../../../../common/open-drivers.ts";
import type { Settings } from "../../../../common/settings/settings.ts";
import { backupSqlite } from "../../../../common/storage/sqlite/backup.ts";
import { withoutEnd } from "../../../../common/text/without-end.ts";
import type { CommandContext } from "../../command/command.ts";

/**
 * Copies the sqlite stores and their generated secrets to a folder, which appears when it is complete. The server may
 * run.
 */
export async function backup({ settings, own, io }: CommandContext): Promise<number> {
  const to = own.get("to");
  if (to === undefined)
    throw new NebulaError("invalid_argument", "missing --to: use a folder that does not exist yet, such as --to backups/2026-01-31");
  const files = await copyStores(settings, to);
  io.print(`backed up ${files.join(", ")} to ${to}`);
  io.print(
    `to restore: stop the server, start it with NEBULA_DATA as a copy of that folder, but first run: nebula migrate --after-restore --data THE_COPY`,
  );
  return 0;
}

async function copyStores({ store, reports, dataDir }: Settings, to: string): Promise<string[]> {
  if (!store.startsWith("sqlite:"))
    throw new NebulaError("failed_precondition", "nebula backup copies sqlite: stores only; use the backup of your database");
  if (await isThere(to)) throw new NebulaError("already_exists", `${to} already exists: a backup never overwrites; use another folder`);
  await filesOf(dataDir); // before anything is created
  const partial = `${withoutEnd(to, "/")}.partial`;
  await rm(partial, { recursive: true, force: true });
  await makeFolder("--to", dirname(resolve(partial)));
  await mkdir(partial, { mode: 0o700 }); // fails on anything that took its place meanwhile, a link included
  try {
    const present = await filesOf(dataDir);
    const key = await clusterKeyIn(dataDir);
    // A folder that only an older version wrote has no access store yet.
    const access = present.includes(ACCESS_DATABASE) ? [ACCESS_DATABASE] : [];
    const databases = [CONFIG_DATABASE, ...access, ...(reports.startsWith("sqlite:") ? [REPORT_DATABASE] : [])];
    for (const name of databases) await backupSqlite(join(dataDir, name), join(partial, name));
    const secrets = Object.values(SECRET_FILES).filter((name) => present.includes(name)); // the others come from settings
    for (const name of secrets) await copyFile(join(dataDir, name), join(partial, name));
    const files = [...databases, ...secrets];
    if ((await clusterKeyIn(dataDir)) !== key) throw keyChanges();
    for (const name of files) await chmod(join(partial, name), 0o600);
    await rename(partial, to);
    return files;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** The files of the data folder. Rejects if it is not the data folder of a server. */
async function filesOf(dataDir: string): Promise<string[]> {
  const missing = (reason: string, cause?: unknown) =>
    new NebulaError("not_found", `the data folder "${dataDir}" can't be backed up: ${reason}; NEBULA_DATA must name the data folder of a server`, {
      cause,
    });
  let present: string[];
  try {
    present = await readdir(dataDir);
  } catch (error) {
    throw missing(systemReason(error), error);
  }
  if (!present.includes(CONFIG_DATABASE)) throw missing(`it holds no ${CONFIG_DATABASE}`);
  return present;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await readdir(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    if (error instanceof Error && "code" in error && error.code === "ENOTDIR") return true;
    throw error;
  }
}

/**
 * The cluster key in the folder, undefined if absent. The copy of a store needs the key that its secret values
 * are encrypted with.
 */
async function clusterKeyIn(dataDir: string): Promise<string | undefined> {
  const present = await readdir(dataDir);
  if (present.includes(NEXT_CLUSTER_KEY)) throw keyChanges();
  return present.includes(SECRET_FILES.clusterKey) ? await readFile(join(dataDir, SECRET_FILES.clusterKey), "utf8") : undefined;
}

function keyChanges(): NebulaError {
  return new NebulaError("failed_precondition", "the cluster key is being rotated (nebula migrate --new-cluster-key): retry when that has ended");
}

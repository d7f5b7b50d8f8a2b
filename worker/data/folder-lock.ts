import { constants } from "node:fs";
import { access, rm, rmdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { codeOf, systemReason } from "../../common/errors/system-reason.ts";
import type { Log } from "../../common/log/log.ts";
import { makeWithParents } from "../../common/make-folder.ts";
import { lockFolder } from "../../common/storage/sqlite/folder-lock.ts";
import { DATA_FILES } from "./data-folder.ts";
import { withLeftovers } from "./whole-file.ts";

/** Of a name that a server's data folder has not: one folder may serve both. */
const LOCK = { file: "worker-lock.db", setting: "NEBULA_WORKER_DATA" } as const;

/** Write permission for the group, and for everybody. */
const WRITABLE_BY_OTHERS = 0o022;

/**
 * The worker's data folder as a whole.
 * 1. Two workers never share one: it is locked by a lock of the operating system, which ends with the process.
 * 2. A folder that cannot be written cannot be locked, and stops no worker: nothing in it can be overwritten, either.
 */
export class DataFolder implements Disposable {
  readonly path: string;
  #lock: Disposable | undefined;
  #failure: string | undefined;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes the folder if it does not exist, and locks it. Rejects with `failed_precondition` if another worker uses it.
   */
  static async open(path: string, log: Log): Promise<DataFolder> {
    try {
      await makeWithParents(resolve(path));
    } catch (error) {
      log.warn({ folder: path, reason: systemReason(error) }, "the data folder can't be made");
    }
    const folder = new DataFolder(path);
    await folder.#warnOfOthers(log);
    await folder.#lockNow();
    if (folder.#failure !== undefined) log.warn({ folder: path, reason: folder.#failure }, "the data folder is not locked");
    return folder;
  }

  /** Why the folder is not locked; undefined if it is. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Locks a folder that could not be written before. Never rejects. */
  async lockAgain(): Promise<void> {
    if (this.#lock !== undefined) return;
    await this.#lockNow().catch((error) => {
      this.#failure = messageOf(error);
    });
  }

  /**
   * Removes every file of a worker, the lock's last and while it is locked, ends the lock, and removes the folder if
   * nothing else is in it and its place allows that: a mount stays. Rejects with `failed_precondition` at the first file
   * that cannot be removed; the files after it stay. @returns whether the folder is gone
   */
  async remove(): Promise<boolean> {
    const lock = [LOCK.file, `${LOCK.file}-journal`];
    const files = [...Object.values(DATA_FILES).flatMap(withLeftovers), ...lock];
    for (const file of files) {
      const path = join(this.path, file);
      await rm(path, { force: true, recursive: true }).catch((error) => {
        throw new NebulaError("failed_precondition", `${path} can't be removed: ${systemReason(error)}`, { cause: error });
      });
    }
    this[Symbol.dispose]();
    return await rmdir(this.path).then(
      () => true,
      (error) => codeOf(error) === "ENOENT",
    );
  }

  [Symbol.dispose](): void {
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
  }

  async #lockNow(): Promise<void> {
    try {
      await access(this.path, constants.W_OK); // SQLite would open a read-only file without locking it
      this.#lock = lockFolder(this.path, LOCK);
      this.#failure = undefined;
    } catch (error) {
      if (isNebulaError(error, "failed_precondition")) throw error; // 1
      this.#failure = messageOf(error); // 2
    }
  }

  async #warnOfOthers(log: Log): Promise<void> {
    const mode = await stat(this.path).then(
      (stats) => stats.mode,
      () => 0,
    );
    if ((mode & WRITABLE_BY_OTHERS) === 0) return;
    const shown = (mode & 0o7777).toString(8);
    log.warn({ folder: this.path, mode: shown }, "others may write to the data folder, and so decide what this device runs; give it the mode 700");
  }
}

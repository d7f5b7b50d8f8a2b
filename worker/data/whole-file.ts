import { constants } from "node:fs";
import { open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "../../common/errors/nebula-error.ts";

/** How a save ended. A disk that is full or read-only is not a fault of the worker: it continues in memory. */
export type SaveOutcome = Readonly<{ kind: "saved" } | { kind: "not_saved"; reason: string }>;

/** A file and what may be beside it: one that was not finished, and one that was set aside. */
export function withLeftovers(path: string): readonly string[] {
  return [path, unfinished(path), damaged(path)];
}

function unfinished(path: string): string {
  return `${path}.new`;
}

function damaged(path: string): string {
  return `${path}.damaged`;
}

/**
 * One small file that is complete at any time, also after a power cut.
 * 1. The file is written beside its place, exclusively and through no symlink, readable by its owner alone, forced to the
 *    disk, and renamed into its place; then the folder is forced to the disk.
 * 2. One write at a time. Of contents that come during it only the newest is written, and each caller gets the outcome of that write.
 * 3. Contents that are on the disk already are not written again: flash wears out.
 */
export class LastGoodFile {
  readonly #path: string;
  #onDisk: string | undefined;
  /** The newest content that was to be saved. */
  #wanted: string | undefined;
  #writing: Promise<SaveOutcome> | undefined;
  #next: Promise<SaveOutcome> | undefined;
  #failure: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** The content; undefined when there is no such file. Rejects when it cannot be read. */
  async read(): Promise<string | undefined> {
    try {
      this.#onDisk = await readFile(this.#path, "utf8");
      return this.#onDisk;
    } catch (error) {
      if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
      throw error;
    }
  }

  /** Sets a damaged file aside for the operator; an older one of those is overwritten. */
  async setAside(): Promise<void> {
    this.#onDisk = undefined;
    await rename(this.#path, damaged(this.#path));
  }

  get path(): string {
    return this.#path;
  }

  /** Whether a write is under way. */
  get isSaving(): boolean {
    return this.#writing !== undefined;
  }

  /** Why the newest content is not on the disk; undefined: it is. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Never rejects. */
  save(content: string): Promise<SaveOutcome> {
    this.#wanted = content;
    if (this.#writing === undefined) return this.#start();
    this.#next ??= this.#writing.then(() => this.#start()); // 2
    return this.#next;
  }

  /** Tries again what could not be saved. */
  async saveAgain(): Promise<SaveOutcome> {
    return this.#failure === undefined || this.#wanted === undefined ? { kind: "saved" } : this.save(this.#wanted);
  }

  #start(): Promise<SaveOutcome> {
    this.#next = undefined;
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(): Promise<SaveOutcome> {
    const content = this.#wanted;
    if (content === undefined || content === this.#onDisk) return this.#ended(undefined); // 3
    try {
      await writeWhole(this.#path, content);
      this.#onDisk = content;
      return this.#ended(undefined);
    } catch (error) {
      this.#onDisk = undefined; // which of the two is there is not known
      return this.#ended(messageOf(error));
    }
  }

  #ended(failure: string | undefined): SaveOutcome {
    this.#failure = failure;
    return failure === undefined ? { kind: "saved" } : { kind: "not_saved", reason: failure };
  }
}

async function writeWhole(path: string, content: string): Promise<void> {
  const beside = unfinished(path);
  try {
    await rm(beside, { force: true, recursive: true }); // left by a kill, or put there by somebody
    await using file = await open(beside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    await file.writeFile(content, "utf8");
    await file.sync();
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {}); // what fills a full disk helps nobody
    throw error;
  }
  await rename(beside, path);
  await using folder = await open(dirname(path), constants.O_RDONLY);
  await folder.sync();
}

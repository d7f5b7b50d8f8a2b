import { createHash } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, NebulaError } from "../errors/nebula-error.ts";
import { systemReason } from "../errors/system-reason.ts";
import type { Log } from "../log/log.ts";
import type { NamedFile } from "./read-pem.ts";

// Files that are read again when they change, and the value that is made of them.
//
// C1: the current value was made of files that were all valid, and valid together. Invalid files change nothing.
// C2: an error in changed files is one line in the log, not one per check.
// C3: a change is seen by the next check at the latest; an event of the system (fs.watch) only makes that sooner.
//     Network folders, and folders whose links are switched (mounted secrets), raise no event.

export type ReloadedOptions<T> = Readonly<{
  files: readonly Readonly<{ setting: string; path: string; secret: boolean }>[];
  /** Makes the value of the files, in their order. Throws if one is invalid. */
  make: (files: readonly NamedFile[]) => T;
  log: Log;
  /** Between two checks, milliseconds. */
  everyMs?: number;
}>;

/** Between an event of the system and the check, milliseconds: the other file of a pair changes right after. */
const SETTLE_MS = 200;

export class ReloadedFiles<T> implements Disposable {
  readonly #options: ReloadedOptions<T>;
  readonly #listeners = new Set<() => void>();
  readonly #watchers: FSWatcher[] = [];
  readonly #timer: NodeJS.Timeout;
  #current: T;
  /** Of the files at the last check. */
  #seen: string;
  #soon: NodeJS.Timeout | undefined;
  #looking = false;
  #complaint = "";
  #closed = false;

  /** Reads the files for the first time. Rejects with `failed_precondition` if one cannot be read, or is invalid. */
  static async open<T>(options: ReloadedOptions<T>): Promise<ReloadedFiles<T>> {
    const files = await readAll(options);
    for (const { setting, path, secret } of options.files) {
      if (secret && (await openToOthers(path)))
        options.log.warn({ path }, `${setting}: others can read this private key: chmod 600, or give it to the group alone`);
    }
    return new ReloadedFiles(options, options.make(files), fingerprint(files));
  }

  private constructor(options: ReloadedOptions<T>, current: T, seen: string) {
    this.#options = options;
    this.#current = current;
    this.#seen = seen;
    this.#timer = setInterval(() => this.#look(), options.everyMs ?? 10_000).unref();
    for (const folder of new Set(options.files.map(({ path }) => dirname(path)))) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#lookSoon());
        watcher.on("error", () => watcher.close()); // C3
        this.#watchers.push(watcher);
      } catch {
        // C3
      }
    }
  }

  get current(): T {
    return this.#current;
  }

  /** Calls back after each change of the current value. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    for (const watcher of this.#watchers) watcher.close();
    this.#listeners.clear();
  }

  #lookSoon(): void {
    clearTimeout(this.#soon);
    if (!this.#closed) this.#soon = setTimeout(() => this.#look(), SETTLE_MS).unref();
  }

  #look(): void {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    this.#readAgain()
      .catch((error: unknown) => this.#complain(error))
      .finally(() => {
        this.#looking = false;
      });
  }

  async #readAgain(): Promise<void> {
    const files = await readAll(this.#options);
    const now = fingerprint(files);
    if (now === this.#seen || this.#closed) return;
    this.#current = this.#options.make(files); // C1
    this.#seen = now;
    this.#complaint = "";
    this.#options.log.info({ files: files.map(({ path }) => path) }, "certificates were read again");
    for (const listener of this.#listeners) listener();
  }

  #complain(error: unknown): void {
    const reason = messageOf(error);
    if (this.#closed || reason === this.#complaint) return; // C2
    this.#complaint = reason;
    this.#options.log.warn({ reason }, "certificates changed and can't be used: those from before stay");
  }
}

/** In their order, so that of two unreadable files the error always names the same one. */
async function readAll<T>({ files }: ReloadedOptions<T>): Promise<NamedFile[]> {
  const read: NamedFile[] = [];
  for (const { setting, path } of files) {
    try {
      read.push({ setting, path, bytes: await readFile(path) });
    } catch (error) {
      throw new NebulaError("failed_precondition", `${setting} ${path} can't be read: ${systemReason(error)}`, { cause: error });
    }
  }
  return read;
}

function fingerprint(files: readonly NamedFile[]): string {
  const hash = createHash("sha256");
  for (const { bytes } of files) hash.update(`${bytes.length}:`).update(bytes);
  return hash.digest("base64");
}

async function openToOthers(path: string): Promise<boolean> {
  return ((await stat(path)).mode & 0o007) !== 0;
}

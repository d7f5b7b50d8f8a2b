import { chmod, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isOpenToOthers } from "../../../common/open-modes.ts";
import { utf8Text } from "../../../common/text/utf8.ts";
import { ORIGINAL_LOGIN_FILE, parseOriginalLogin } from "./original-login.ts";
import { NO_PROFILES, PROFILES_FILE, type Profiles, parseProfiles, printProfiles, type StoredLogin } from "./profiles.ts";

/**
 * Reads the stored logins of one user.
 * @param home the user's home folder
 * @param warn called with a sentence if others were allowed to read the file, which is closed to them then
 */
export async function readProfiles(home: string, warn: (sentence: string) => void = () => {}): Promise<Profiles> {
  const path = join(home, PROFILES_FILE);
  const text = await readIfPresent(path);
  if (text !== undefined && isOpenToOthers((await stat(path)).mode)) {
    const closed = await chmod(path, 0o600).then(
      () => true,
      () => false,
    );
    const now = closed ? "its mode is 600 now; replace these logins if somebody did" : "set its mode to 600";
    warn(`others were allowed to read or write ${path}, which holds logins; ${now}`);
  }
  return text === undefined ? NO_PROFILES : parseProfiles(text);
}

/** Writes the stored logins with mode 600. A crash leaves either the old file or the new one. */
export async function writeProfiles(home: string, profiles: Profiles): Promise<void> {
  const path = join(home, PROFILES_FILE);
  const { randomBytes } = await import("node:crypto"); // loaded here, because it takes longer to load than everything that a command reads
  const next = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await writeFile(next, printProfiles(profiles), { mode: 0o600, flag: "wx", flush: true });
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}

/** Removes the file of the stored logins, also one that cannot be read. */
export async function removeProfiles(home: string): Promise<void> {
  await rm(join(home, PROFILES_FILE), { force: true });
}

/** Reads the login of the original tool; undefined if absent. */
export async function readOriginalLogin(home: string): Promise<StoredLogin | undefined> {
  const text = await readIfPresent(join(home, ORIGINAL_LOGIN_FILE));
  return text === undefined ? undefined : parseOriginalLogin(text);
}

/** Removes the login of the original tool. Returns whether there was one. */
export async function removeOriginalLogin(home: string): Promise<boolean> {
  const path = join(home, ORIGINAL_LOGIN_FILE);
  const existed = await stat(path).then(
    () => true,
    () => false,
  );
  await rm(path, { force: true });
  return existed;
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return utf8Text(await readFile(path), path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

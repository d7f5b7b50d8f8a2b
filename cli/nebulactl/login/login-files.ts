import { randomBytes } from "node:crypto";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isOpenToOthers } from "../../../common/open-modes.ts";
import { utf8Text } from "../../../common/text/utf8.ts";
import { ORIGINAL_LOGIN_FILE, parseOriginalLogin } from "./original-login.ts";
import { NO_PROFILES, PROFILES_FILE, type Profiles, parseProfiles, printProfiles, type StoredLogin } from "./profiles.ts";

/**
 * The stored logins of one user.
 * @param home the user's home folder
 * @param warn called with a sentence where others may read the file
 */
export async function readProfiles(home: string, warn: (sentence: string) => void = () => {}): Promise<Profiles> {
  const path = join(home, PROFILES_FILE);
  const text = await readIfThere(path);
  if (text !== undefined && isOpenToOthers((await stat(path)).mode))
    warn(`others may read or write ${path}, which holds logins; give it the mode 600`);
  return text === undefined ? NO_PROFILES : parseProfiles(text);
}

/** Writes the stored logins, readable by their owner alone. A crash leaves the old file or the new one. */
export async function writeProfiles(home: string, profiles: Profiles): Promise<void> {
  const path = join(home, PROFILES_FILE);
  const next = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await writeFile(next, printProfiles(profiles), { mode: 0o600, flag: "wx", flush: true });
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}

/** The original tool's login; undefined: there is none. */
export async function readOriginalLogin(home: string): Promise<StoredLogin | undefined> {
  const text = await readIfThere(join(home, ORIGINAL_LOGIN_FILE));
  return text === undefined ? undefined : parseOriginalLogin(text);
}

/** Removes the original tool's login; answers whether there was one. */
export async function removeOriginalLogin(home: string): Promise<boolean> {
  const path = join(home, ORIGINAL_LOGIN_FILE);
  const there = (await readIfThere(path)) !== undefined;
  await rm(path, { force: true });
  return there;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return utf8Text(await readFile(path), path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

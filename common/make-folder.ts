import { access, constants, mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { NebulaError } from "./errors/nebula-error.ts";
import { codeOf, systemReason } from "./errors/system-reason.ts";

/**
 * Makes a folder, with its parents, for its owner alone, unless it exists, and sees that this process may write to it.
 * @param setting what names the folder: NEBULA_DATA
 * @throws NebulaError failed_precondition with the folder, the reason and the user
 */
export async function makeFolder(setting: string, folder: string): Promise<void> {
  try {
    await makeWithParents(resolve(folder));
  } catch (error) {
    throw refused(setting, folder, "can't be made", error);
  }
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw refused(setting, folder, "can't be written to", error);
  }
}

/** One folder after the other: mkdir with `recursive` never ends below /proc, where a folder exists and no other can be made in it. */
export async function makeWithParents(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return;
  } catch (error) {
    if (codeOf(error) === "EEXIST" && (await stat(folder)).isDirectory()) return;
    if (codeOf(error) !== "ENOENT" || (await exists(dirname(folder)))) throw error;
  }
  await makeWithParents(dirname(folder));
  await mkdir(folder, { mode: 0o700 });
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function refused(setting: string, folder: string, what: string, cause: unknown): NebulaError {
  const reason = codeOf(cause) === "ENOENT" ? "its parent takes no folders" : systemReason(cause);
  return new NebulaError("failed_precondition", `${setting}: the folder ${folder} ${what}: ${reason}; name another, or change its owner`, { cause });
}

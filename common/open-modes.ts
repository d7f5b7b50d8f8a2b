import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "./log/log.ts";

/** Write permission for the group, and for everybody. */
const WRITABLE_BY_OTHERS = 0o022;
/** Any permission for the group, and for everybody. */
const OPEN_TO_OTHERS = 0o077;

/** Logs a warning for a folder that others may write to, and one for each of its files that others may read or write. Skips absent ones. */
export async function warnOfOpenModes(folder: string, files: readonly string[], log: Log): Promise<void> {
  const mode = await modeOf(folder);
  if ((mode & WRITABLE_BY_OTHERS) !== 0)
    log.warn({ folder, mode: octal(mode) }, "others may write to the data folder, and so put other secrets and stores there; give it the mode 700");
  for (const file of files) {
    const path = join(folder, file);
    const fileMode = await modeOf(path);
    if (isOpenToOthers(fileMode))
      log.warn({ file: path, mode: octal(fileMode) }, "others may read or write the file, which holds secrets; give it the mode 600");
  }
}

/** Whether anybody but the owner may do anything with a file. */
export function isOpenToOthers(mode: number): boolean {
  return (mode & OPEN_TO_OTHERS) !== 0;
}

function modeOf(path: string): Promise<number> {
  return stat(path).then(
    (stats) => stats.mode,
    () => 0,
  );
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8);
}

import type { Violation } from "../errors/nebula-error.ts";
import { cleanContainerPath, faultOfMountPath } from "./container-path.ts";
import { entryPath, quote } from "./quote.ts";

const FLAGS = new Set(
  [
    "defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync mand nomand atime noatime diratime nodiratime relatime norelatime",
    "strictatime nostrictatime private rprivate shared rshared slave rslave unbindable runbindable",
  ].flatMap((words) => words.split(" ")),
);
const VALUES: Readonly<Record<string, RegExp>> = {
  size: /^[0-9]+[kmgKMG%]?$/,
  mode: /^[0-7]{1,5}$/,
  uid: /^[0-9]{1,10}$/,
  gid: /^[0-9]{1,10}$/,
  nr_inodes: /^[0-9]+[kmgKMG]?$/,
  nr_blocks: /^[0-9]+[kmgKMG]?$/,
  mpol: /^[a-z0-9:=,-]+$/,
};

/** Temporary file systems by path, with their mount options. */
export function validateTmpfs(tmpfs: Readonly<Record<string, string>>): Violation[] {
  const seen = new Set<string>();
  return Object.entries(tmpfs).flatMap(([path, options]) => {
    const field = entryPath("tmpfs", path);
    const fault = faultOfMountPath(path) ?? faultOfOptions(options);
    if (fault !== undefined) return [{ field, description: `${quote(path)}: ${fault}` }];
    const clean = cleanContainerPath(path);
    if (seen.has(clean)) return [{ field, description: `${quote(clean)} is mounted twice; once is enough` }];
    seen.add(clean);
    return [];
  });
}

function faultOfOptions(options: string): string | undefined {
  if (options === "") return undefined;
  const wrong = options.split(",").find((option) => !isOption(option));
  return wrong === undefined ? undefined : `${quote(wrong)} is no option of a tmpfs; size=64m, mode=1777, uid=1000, noexec and the like would do`;
}

function isOption(option: string): boolean {
  const equals = option.indexOf("=");
  if (equals < 0) return FLAGS.has(option);
  const key = option.slice(0, equals);
  return Object.hasOwn(VALUES, key) && (VALUES[key]?.test(option.slice(equals + 1)) ?? false);
}

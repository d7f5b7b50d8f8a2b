import { posix } from "node:path";

/** A path inside a container in the one form that equal paths share: no `.`, `..`, doubled or last slash. */
export function cleanContainerPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** What is wrong with a path on which something is mounted inside a container; undefined: nothing. */
export function faultOfMountPath(path: string): string | undefined {
  if (!path.startsWith("/")) return "it has to be an absolute path, such as /data";
  if (cleanContainerPath(path) === "/") return "nothing can be mounted over the whole root; name a folder such as /data";
  return undefined;
}

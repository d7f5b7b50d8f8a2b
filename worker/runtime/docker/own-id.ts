import { readFile } from "node:fs/promises";
import { hostname } from "node:os";

const CONTAINER_ID = /[0-9a-f]{64}/;

/** Texts that may name the container that a process runs in. */
export type OwnIdHints = Readonly<{ cgroup: string; mountinfo: string; hostname: string }>;

/**
 * Ids, or the beginning of one, that may be this process's own container, the surest first; each is to be checked with the engine.
 * cgroup v1 names the container in the path; with v2, or a cgroup namespace, the files that Docker mounts over /etc still show it; the host name is the
 * id's beginning unless somebody chose one.
 */
export function ownIdCandidates({ cgroup, mountinfo, hostname }: OwnIdHints): readonly string[] {
  const fromCgroup = cgroup.split("\n").flatMap((line) => CONTAINER_ID.exec(line.slice(line.lastIndexOf("/") + 1)) ?? []);
  const fromMounts = mountinfo.split("\n").flatMap((line) => {
    const [, , , root = "", mountPoint = ""] = line.split(" ");
    return /^\/etc\/(hostname|hosts|resolv\.conf)$/.test(mountPoint) ? (CONTAINER_ID.exec(root) ?? []) : [];
  });
  const fromHostname = /^[0-9a-f]{12}$/.test(hostname) ? [hostname] : [];
  return [...new Set([...fromCgroup, ...fromMounts, ...fromHostname])];
}

/** The hints of this process. */
export async function ownIdHints(): Promise<OwnIdHints> {
  const [cgroup, mountinfo] = await Promise.all([readOrEmpty("/proc/self/cgroup"), readOrEmpty("/proc/self/mountinfo")]);
  return { cgroup, mountinfo, hostname: hostname() };
}

/** Another system than Linux has no such file. */
function readOrEmpty(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

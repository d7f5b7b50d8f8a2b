import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { NebulaError } from "../errors/nebula-error.ts";
import { systemReason } from "../errors/system-reason.ts";
import type { Settings } from "../settings/settings.ts";
import { utf8Text } from "../text/utf8.ts";
import { keepSecret, NEXT_CLUSTER_KEY, randomSecret, SECRET_FILES, syncFolder } from "./key-files.ts";

/** A change of the cluster key. */
export type ClusterKeyRotation = Readonly<{
  from: string;
  /** The new key; undefined: it is only made when the change begins. The same as `from`: the change was made before. */
  to: string | undefined;
  /** The file in which the new one will be; undefined: it is given by a setting, as the old one is. */
  file: string | undefined;
  /** Has the new key on the disk, before anything is under it, and answers it. */
  begin: () => Promise<string>;
  /** Makes it final, once everything is under the new key. */
  finish: () => Promise<void>;
}>;

type KeySettings = Pick<Settings, "clusterKey" | "newClusterKey" | "dataDir">;

/**
 * Returns the keys that a change of the cluster key is from and to. Where the data folder holds the key, `begin` puts the new one beside it, and
 * `finish` in its place: killed in between, both are there, and the next call goes on with them.
 * @throws NebulaError failed_precondition, not_found where one of the two keys is not known
 */
export async function clusterKeyRotation({ clusterKey, newClusterKey: given, dataDir }: KeySettings): Promise<ClusterKeyRotation> {
  if (clusterKey !== undefined) return givenRotation(clusterKey, given);
  const [current, next] = [join(dataDir, SECRET_FILES.clusterKey), join(dataDir, NEXT_CLUSTER_KEY)];
  const [from, begun] = [await read(current), await read(next)];
  if (from === undefined)
    throw new NebulaError(
      "not_found",
      `there is no ${current}: give the key that the store is under now as NEBULA_CLUSTER_KEY, and the new one as NEBULA_NEW_CLUSTER_KEY`,
    );
  if (given === from && begun === undefined) return { from, to: from, file: current, begin: async () => from, finish: async () => {} };
  if (given !== undefined && begun !== undefined && begun !== given)
    throw new NebulaError(
      "failed_precondition",
      `${next} holds another new key than NEBULA_NEW_CLUSTER_KEY: leave that out, so that the change that was begun can end first`,
    );
  const to = begun ?? given;
  return {
    from,
    to,
    file: current,
    begin: async () => {
      const made = to ?? randomSecret();
      await keepSecret(next, made);
      return made;
    },
    finish: async () => {
      await rename(next, current);
      await syncFolder(dataDir);
    },
  };
}

function givenRotation(from: string, to: string | undefined): ClusterKeyRotation {
  if (to === undefined)
    throw new NebulaError(
      "failed_precondition",
      "NEBULA_NEW_CLUSTER_KEY is needed, as NEBULA_CLUSTER_KEY is given: a key that is made would be found by no part (NEBULA_NEW_CLUSTER_KEY_FILE may name a file that holds it)",
    );
  return { from, to, file: undefined, begin: async () => to, finish: async () => {} };
}

/** undefined: there is no such file. */
async function read(path: string): Promise<string | undefined> {
  try {
    const text = utf8Text(await readFile(path), path).trim();
    if (text === "") throw new NebulaError("failed_precondition", `${path} is empty: put it back from a backup`);
    return text;
  } catch (error) {
    if (error instanceof NebulaError) throw error;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new NebulaError("failed_precondition", `${path} can't be read: ${systemReason(error)}`, { cause: error });
  }
}

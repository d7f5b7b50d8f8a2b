import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, NebulaError } from "../errors/nebula-error.ts";
import { keepSecret, NEXT_CLUSTER_KEY, randomSecret, SECRET_FILES, syncFolder } from "./secrets.ts";
import type { Settings } from "./settings.ts";

/** A change of the cluster key that is under way. */
export type ClusterKeyTurn = Readonly<{
  from: string;
  /** The same as `from`: the change was made before. */
  to: string;
  /** The file in which the new one will be; undefined: it is given by a setting, as the old one is. */
  file: string | undefined;
  /** Makes it final, once everything is under the new key. */
  finish: () => Promise<void>;
}>;

/**
 * Begins, or takes up again, a change of the cluster key. Where the data folder holds the key, the new one is put beside it first, and the last step puts it in its
 * place: killed at any point in between, both are there, and the next call goes on with them.
 * @throws NebulaError failed_precondition, not_found where one of the two keys is not known
 */
export async function beginClusterKeyTurn({
  clusterKey,
  newClusterKey,
  dataDir,
}: Pick<Settings, "clusterKey" | "newClusterKey" | "dataDir">): Promise<ClusterKeyTurn> {
  if (clusterKey !== undefined) return givenTurn(clusterKey, newClusterKey);
  const [current, next] = [join(dataDir, SECRET_FILES.clusterKey), join(dataDir, NEXT_CLUSTER_KEY)];
  const from = await read(current);
  if (from === undefined)
    throw new NebulaError(
      "not_found",
      `there is no ${current}: give the key that the store is under now as NEBULA_CLUSTER_KEY, and the new one as NEBULA_NEW_CLUSTER_KEY`,
    );
  if (newClusterKey === from) return { from, to: from, file: current, finish: async () => {} };
  await keepSecret(next, newClusterKey ?? randomSecret());
  const to = (await read(next)) ?? "";
  if (newClusterKey !== undefined && to !== newClusterKey)
    throw new NebulaError(
      "failed_precondition",
      `${next} holds another new key than NEBULA_NEW_CLUSTER_KEY: leave that out, so that the change that was begun can end first`,
    );
  return {
    from,
    to,
    file: current,
    finish: async () => {
      await rename(next, current);
      await syncFolder(dataDir);
    },
  };
}

function givenTurn(from: string, to: string | undefined): ClusterKeyTurn {
  if (to === undefined)
    throw new NebulaError(
      "failed_precondition",
      "NEBULA_NEW_CLUSTER_KEY is needed, as NEBULA_CLUSTER_KEY is given: a key that is made could be found by no part (NEBULA_NEW_CLUSTER_KEY_FILE may name a file that holds it)",
    );
  return { from, to, file: undefined, finish: async () => {} };
}

/** undefined: there is no such file. */
async function read(path: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path, "utf8")).trim();
    if (text === "") throw new NebulaError("failed_precondition", `${path} is empty: put it back from a backup`);
    return text;
  } catch (error) {
    if (error instanceof NebulaError) throw error;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new NebulaError("failed_precondition", `${path} can't be read: ${messageOf(error)}`, { cause: error });
  }
}

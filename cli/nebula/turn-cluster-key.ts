import { deriveSecretKeys } from "../../common/secrets/secret-keys.ts";
import { turnOverBody } from "../../common/secrets/turn-over.ts";
import { beginClusterKeyTurn } from "../../common/settings/cluster-key-turn.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import type { CommandContext } from "./command.ts";

/**
 * Puts every secret value of the store, its history included, under a new cluster key. All of it or nothing; killed at any point, the next run goes on: the ids
 * in the values tell what is under which key. Revisions stay, so no device does anything.
 */
export async function turnClusterKey({
  settings,
  configStore,
  io,
}: Pick<CommandContext, "settings" | "io"> & { configStore: ConfigStore }): Promise<void> {
  const turn = await beginClusterKeyTurn(settings);
  const [from, to] = [deriveSecretKeys(turn.from), deriveSecretKeys(turn.to)];
  const rewritten = await configStore.rewriteBodies((stored) => turnOverBody({ from, to }, stored));
  await turn.finish();
  io.print(
    `cluster key ${from.id} -> ${to.id} (the ids that are in log lines); secret values in ${rewritten} rows of the store are under the new one`,
  );
  io.print(
    turn.file === undefined
      ? "start every part with the new one as NEBULA_CLUSTER_KEY"
      : `it is in ${turn.file}; a gateway of its own has to be given the same. Backups from before need the key that is in them`,
  );
}

import { deriveSecretKeys, type SecretKeys } from "../../common/secrets/secret-keys.ts";
import { requireReadable, turnOverBody } from "../../common/secrets/turn-over.ts";
import { clusterKeyTurn } from "../../common/settings/cluster-key-turn.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import type { CommandContext } from "./command.ts";

type TurnOptions = Pick<CommandContext, "settings" | "io"> & Readonly<{ configStore: ConfigStore }>;

/**
 * Puts every secret value of the store, its history included, under a new cluster key. All of it or nothing; killed at any point, the next run goes on: the ids
 * in the values tell what is under which key. Revisions stay, so no device does anything.
 */
export async function turnClusterKey({ settings, configStore, io }: TurnOptions): Promise<void> {
  const turn = await clusterKeyTurn(settings);
  const from = deriveSecretKeys(turn.from);
  await requireAllReadable(configStore, from, turn.to === undefined ? undefined : deriveSecretKeys(turn.to));
  const to = deriveSecretKeys(await turn.begin());
  let unreadable = 0;
  const rewritten = await configStore.rewriteBodies((stored) => {
    const turned = turnOverBody({ from, to }, stored);
    unreadable += turned.unreadable;
    return turned.body;
  });
  await turn.finish();
  io.print(`cluster key with the id ${from.id} -> ${to.id}: the secret values of ${rewritten} rows of the store are under the new one now`);
  if (unreadable > 0) io.print(`secret values of older revisions that opened under neither key, and stay as they are: ${unreadable}`);
  io.print(
    turn.file === undefined
      ? "start every part with the new one as NEBULA_CLUSTER_KEY"
      : `it is in ${turn.file}; a gateway of its own has to be given the same. A backup from before needs the key that is in it`,
  );
}

/** What is stored now has to open: a value that does not is lost to everybody, or the key is a wrong one. Of older revisions it may be. */
async function requireAllReadable(store: ConfigStore, from: SecretKeys, to: SecretKeys | undefined): Promise<void> {
  for (const kind of ["app", "cron_job"] as const) {
    let after: string | undefined;
    do {
      const page = await store.list(kind, { limit: 1000, ...(after === undefined ? {} : { after }) });
      for (const stored of page.items) requireReadable(from, to, stored);
      after = page.next;
    } while (after !== undefined);
  }
}

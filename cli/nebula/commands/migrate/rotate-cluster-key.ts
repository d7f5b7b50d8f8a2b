import { clusterKeyRotation } from "../../../../common/keys/rotate-cluster-key.ts";
import { requireReadable, rotateBody } from "../../../../common/keys/rotate-secrets.ts";
import { deriveSecretKeys, type SecretKeys } from "../../../../common/secrets/secret-keys.ts";
import type { ConfigStore } from "../../../../common/storage/config-store.ts";
import type { CommandContext } from "../../command/command.ts";

type TurnOptions = Pick<CommandContext, "settings" | "io"> & Readonly<{ configStore: ConfigStore }>;

/**
 * Rotates the cluster key: encrypts every secret value of the store, its history included, with a new key. All or
 * nothing; if it is killed at any point, the next run resumes, because each value names its key. Revisions stay, so
 * devices do nothing.
 */
export async function rotateClusterKey({ settings, configStore, io }: TurnOptions): Promise<void> {
  const rotation = await clusterKeyRotation(settings);
  const from = deriveSecretKeys(rotation.from);
  await requireAllReadable(configStore, from, rotation.to === undefined ? undefined : deriveSecretKeys(rotation.to));
  const to = deriveSecretKeys(await rotation.begin());
  const unreadableIn = new Map<string, number>(); // a store may call back for a revision more than once
  const rewritten = await configStore.rewriteBodies((stored) => {
    const rotated = rotateBody({ from, to }, stored);
    unreadableIn.set(`${stored.kind}/${stored.name}/${stored.revision}`, rotated.unreadable);
    return rotated.body;
  });
  const unreadable = [...unreadableIn.values()].reduce((sum, count) => sum + count, 0);
  await rotation.finish();
  io.print(`cluster key with the id ${from.id} -> ${to.id}: the secret values of ${rewritten} rows of the store are now encrypted with the new one`);
  if (unreadable > 0) io.print(`secret values of older revisions that neither key decrypts, left unchanged: ${unreadable}`);
  io.print(
    rotation.file === undefined
      ? "start every part with the new one as NEBULA_CLUSTER_KEY"
      : `it is in ${rotation.file}; a gateway of its own has to be given the same. A backup from before needs the key that is in it`,
  );
}

/**
 * Rejects if a current secret value can't be decrypted: the value is lost, or the key is wrong. Older revisions are
 * exempt.
 */
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

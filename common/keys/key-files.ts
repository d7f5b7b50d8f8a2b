import { randomBytes } from "node:crypto";
import { link, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SHORTEST_PASSWORD } from "../access/authorization.ts";
import { NebulaError } from "../errors/nebula-error.ts";
import { systemReason } from "../errors/system-reason.ts";
import { makeFolder } from "../make-folder.ts";
import type { Settings } from "../settings/settings.ts";
import { utf8Text } from "../text/utf8.ts";

/** The secrets that a manager knows callers by. Never logged, never in an error. */
export type Secrets = Readonly<{
  clusterKey: string;
  adminPassword: string;
  adminToken: string | undefined;
  /** The file that holds the admin's password, where no setting gave it, and whether this start made it. */
  passwordFile: Readonly<{ path: string; made: boolean }> | undefined;
}>;

type SecretSettings = Pick<Settings, "admin" | "clusterKey" | "store" | "dataDir" | "authEnabled">;

/** Names, within the data folder, of the files that hold generated secrets. A backup keeps them. */
export const SECRET_FILES = { adminPassword: "admin-password", clusterKey: "cluster-key" } as const;

/** Name, within the data folder, of the cluster key to come: there while a change of it is under way (rotate-cluster-key.ts). */
export const NEXT_CLUSTER_KEY = "cluster-key.new";

/**
 * The cluster key and the admin's login: as given, or, with sqlite, from the data folder, where the first start makes them.
 * @throws NebulaError failed_precondition where they are neither given nor can be made
 */
export async function openSecrets(settings: SecretSettings): Promise<Secrets> {
  const { password: given, token: adminToken } = settings.admin;
  const clusterKey = await openClusterKey(settings);
  if (given !== undefined) return { clusterKey, adminPassword: given, adminToken, passwordFile: undefined };
  // Where everybody is admin nobody is asked for it, so none has to be kept.
  if (!settings.authEnabled) return { clusterKey, adminPassword: randomSecret(), adminToken, passwordFile: undefined };
  const { text, path, made } = await openSecret(settings, SECRET_FILES.adminPassword, "NEBULA_ADMIN_PASSWORD");
  if (Buffer.byteLength(text) < SHORTEST_PASSWORD) {
    const help = `write ${SHORTEST_PASSWORD} bytes or more to it, remove it to have one made, or give NEBULA_ADMIN_PASSWORD`;
    throw new NebulaError("failed_precondition", `the password in ${path} is too short, below ${SHORTEST_PASSWORD} bytes: ${help}`);
  }
  return { clusterKey, adminPassword: text, adminToken, passwordFile: { path, made } };
}

/** The key by which the parts of a cluster trust each other, found as openSecrets finds it. */
export async function openClusterKey(settings: SecretSettings): Promise<string> {
  if (settings.clusterKey !== undefined) return settings.clusterKey;
  const next = join(settings.dataDir, NEXT_CLUSTER_KEY);
  // Either of the two keys may be the one that the store is under.
  if (await exists(next)) {
    throw new NebulaError(
      "failed_precondition",
      `${next} is there, so a change of the cluster key did not end: nebula migrate --new-cluster-key ends it`,
    );
  }
  return (await openSecret(settings, SECRET_FILES.clusterKey, "NEBULA_CLUSTER_KEY")).text;
}

async function openSecret(
  { store, dataDir }: SecretSettings,
  name: string,
  variable: string,
): Promise<{ text: string; path: string; made: boolean }> {
  if (!store.startsWith("sqlite:")) {
    throw new NebulaError(
      "failed_precondition",
      `${variable} is needed: only a server on sqlite: makes one by itself, for here several processes have to know the same (${variable}_FILE may name a file that holds it)`,
    );
  }
  const path = join(dataDir, name);
  try {
    await makeFolder("NEBULA_DATA", dataDir);
    const made = await keepSecret(path, randomSecret());
    const text = utf8Text(await readFile(path), path).trim();
    if (text === "") throw new NebulaError("failed_precondition", `${path} is empty: remove it to have one made, or give ${variable}`);
    return { text, path, made };
  } catch (error) {
    if (error instanceof NebulaError) throw error;
    throw new NebulaError(
      "failed_precondition",
      `${path} can't be kept: ${systemReason(error)}; make the folder writable, point NEBULA_DATA elsewhere, or give ${variable}`,
      {
        cause: error,
      },
    );
  }
}

/** A new secret: 192 random bits. */
export function randomSecret(): string {
  return randomBytes(24).toString("base64url");
}

/**
 * Makes a file of a secret, readable by its owner alone, unless it is there; answers whether it did. The file appears whole or not at all, and two
 * processes that start at once agree.
 */
export async function keepSecret(path: string, secret: string): Promise<boolean> {
  if (await exists(path)) return false;
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(`${secret}\n`);
    await file.sync();
    await link(draft, path); // fails where another process was first: its file counts
    await syncFolder(dirname(path));
    return true;
  } catch (error) {
    if (isCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}

/** Has the folder's own entry of a new file on the disk: what is encrypted under a key must not outlive it. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await readFile(path);
    return true;
  } catch (error) {
    if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR")) return false;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

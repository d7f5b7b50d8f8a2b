import { createSecretKey, hkdfSync, type KeyObject } from "node:crypto";

/** The keys that are derived from one cluster key for secret values. The cluster key itself can't be found from any of them. */
export type SecretKeys = Readonly<{
  /** Tells the cluster keys of one store apart: 8 hexadecimal digits. */
  id: string;
  /** For AES-256-GCM. */
  sealing: KeyObject;
  /** For HMAC-SHA-256. */
  fingerprints: KeyObject;
}>;

/** Derives what secret values need of a cluster key: HKDF with SHA-256 (RFC 5869), one label per purpose, so that no key serves two. */
export function deriveSecretKeys(clusterKey: string): SecretKeys {
  const derive = (purpose: string, bytes: number) => Buffer.from(hkdfSync("sha256", clusterKey, "", `nebula ${purpose} 1`, bytes));
  return {
    id: derive("cluster key id", 4).toString("hex"),
    sealing: createSecretKey(derive("secret values", 32)),
    fingerprints: createSecretKey(derive("secret fingerprints", 32)),
  };
}

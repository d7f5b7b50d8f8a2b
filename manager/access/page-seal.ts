import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

/** Makes the position of a page unreadable: where it names what the caller may not see. Every manager of the cluster can go on from it. */
export type PageSeal = {
  seal(position: string): string;
  /** The position of a token; a token that was not sealed is its own. */
  open(token: string): string;
};

/** No store's token begins so: a position is a name, or base64url. */
const MARK = "~";
const ALGORITHM = "aes-256-gcm";
const NONCE = 12;
const TAG = 16;

/** Seals under a key that is derived from the cluster key (HKDF with SHA-256, RFC 5869). */
export function createPageSeal(clusterKey: string): PageSeal {
  const key = Buffer.from(hkdfSync("sha256", clusterKey, "", "nebula page tokens 1", 32));
  return {
    seal(position) {
      const nonce = randomBytes(NONCE);
      const cipher = createCipheriv(ALGORITHM, key, nonce);
      const sealed = Buffer.concat([cipher.update(position, "utf8"), cipher.final()]);
      return MARK + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64url");
    },
    open(token) {
      if (!token.startsWith(MARK)) return token;
      const bytes = Buffer.from(token.slice(MARK.length), "base64url");
      if (bytes.length < NONCE + TAG) return token;
      try {
        const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE));
        decipher.setAuthTag(bytes.subarray(NONCE, NONCE + TAG));
        return Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]).toString("utf8");
      } catch {
        return token; // which no store takes as its own
      }
    },
  };
}

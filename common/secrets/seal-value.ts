import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { formatSealed, NONCE_BYTES, parseSealed, type SealedText, TAG_BYTES } from "./sealed-text.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** The variable that a value belongs to. A value can't be moved to another: it does not open there. */
export type SecretPlace = Readonly<{ kind: "app" | "cron_job"; name: string; variable: string }>;

/** A value, or why there is none; the reason never holds the text. */
export type Opened = Readonly<{ kind: "opened"; value: string } | { kind: "unreadable"; reason: string }>;

const ALGORITHM = "aes-256-gcm";

/** Encrypts a value for its place, with a random nonce: the same value twice gives two texts, of one fingerprint. */
export function sealValue(keys: SecretKeys, place: SecretPlace, value: string): string {
  const fingerprint = fingerprintOf(keys, place, value);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, keys.sealing, nonce, { authTagLength: TAG_BYTES }).setAAD(boundTo(place, fingerprint));
  const payload = Buffer.concat([nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return formatSealed({ keyId: keys.id, fingerprint, payload });
}

/** Decrypts what sealValue made for the same place with the same keys. */
export function openValue(keys: SecretKeys, place: SecretPlace, text: string): Opened {
  const sealed = parseSealed(text);
  if (sealed === undefined) return { kind: "unreadable", reason: "the stored value is not encrypted" };
  if (sealed.keyId !== keys.id) {
    return { kind: "unreadable", reason: `it was encrypted under the cluster key with the id ${sealed.keyId}, and this one's is ${keys.id}` };
  }
  try {
    return { kind: "opened", value: decrypt(keys, place, sealed) };
  } catch {
    return { kind: "unreadable", reason: "what is stored is damaged, or belongs to another variable" };
  }
}

/**
 * Returns the fingerprint of a value for reads: 8 hexadecimal digits of an HMAC over the value and its place, so that equal values of two apps or two
 * variables don't look equal, and nobody without the cluster key can try out values.
 */
export function fingerprintOf({ fingerprints }: SecretKeys, { kind, name, variable }: SecretPlace, value: string): string {
  return createHmac("sha256", fingerprints)
    .update(JSON.stringify([kind, name, variable, value]))
    .digest("hex")
    .slice(0, 8);
}

function decrypt({ sealing }: SecretKeys, place: SecretPlace, { fingerprint, payload }: SealedText): string {
  const nonce = payload.subarray(0, NONCE_BYTES);
  const tag = payload.subarray(-TAG_BYTES);
  const decipher = createDecipheriv(ALGORITHM, sealing, nonce, { authTagLength: TAG_BYTES }).setAAD(boundTo(place, fingerprint)).setAuthTag(tag);
  return decipher.update(payload.subarray(NONCE_BYTES, -TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
}

/** The associated data: what the ciphertext can't be taken away from. */
function boundTo({ kind, name, variable }: SecretPlace, fingerprint: string): Buffer {
  return Buffer.from(JSON.stringify([kind, name, variable, fingerprint]));
}

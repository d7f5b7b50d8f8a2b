import { createHash } from "node:crypto";

/** Etag of an encoded config: base64url of the first 16 bytes of SHA-256. Equal etag, equal bytes. */
export function etagOf(encodedConfig: Uint8Array): string {
  return createHash("sha256").update(encodedConfig).digest().subarray(0, 16).toString("base64url");
}

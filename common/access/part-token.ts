import { createHmac, hash, timingSafeEqual } from "node:crypto";

/** The request header in which one part of a cluster shows another that it knows the cluster key. */
export const PART_TOKEN_HEADER = "nebula-part-token";

/** The request header in which a gateway names the address of its caller; ignored without the part token or the forwarder token. */
export const FORWARDED_FOR_HEADER = "nebula-forwarded-for";

/** The token by which the parts of one cluster trust each other: derived from the cluster key, so that the key itself never travels. */
export function partToken(clusterKey: string): string {
  return createHmac("sha256", clusterKey).update("nebula part token 1").digest("base64url");
}

/**
 * The request header in which a gateway proves that it belongs to this cluster, for the address of a caller without an
 * Authorization alone: unlike the part token it gives no rights.
 */
export const FORWARDER_TOKEN_HEADER = "nebula-forwarder-token";

/** The token that proves the address of a caller, and gives no rights: the part token cannot be derived from it. */
export function forwarderToken(partToken: string): string {
  return createHmac("sha256", partToken).update("nebula forwarder token 1").digest("base64url");
}

/** Whether a text is the part token of the cluster; takes constant time. */
export function partTokenCheck(clusterKey: string): (shown: string) => boolean {
  return isText(partToken(clusterKey));
}

/** Whether a text is the forwarder token of the cluster; takes constant time. */
export function forwarderTokenCheck(clusterKey: string): (shown: string) => boolean {
  return isText(forwarderToken(partToken(clusterKey)));
}

function isText(text: string): (shown: string) => boolean {
  const expected = hash("sha256", text, "buffer");
  return (shown) => timingSafeEqual(hash("sha256", shown, "buffer"), expected);
}

import { randomBytes } from "node:crypto";

/** The header that carries the id under which a call is found in the logs of every part. */
export const REQUEST_ID_HEADER = "x-request-id";

/** Returns the caller's own id if it is up to 64 of A-Z, a-z, 0-9, '.', '_', '-'; else a new one. Ids go into logs, so nothing else is taken. */
export function requestIdFrom(header: string | undefined): string {
  return header !== undefined && /^[A-Za-z0-9._-]{1,64}$/.test(header) ? header : randomBytes(9).toString("base64url");
}

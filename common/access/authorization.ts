import { assertNever } from "../errors/assert-never.ts";
import type { Credentials } from "../settings/settings.ts";

/** Bytes in UTF-8 that a password has at least. Settings say so too, hence here: a worker has no use for the checks of users. */
export const SHORTEST_PASSWORD = 8;

/** The value of the Authorization header that credentials stand for: Basic (RFC 7617, UTF-8) or Bearer. */
export function authorizationOf(credentials: Credentials): string {
  switch (credentials.kind) {
    case "token":
      return `Bearer ${credentials.token}`;
    case "password":
      return `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`, "utf8").toString("base64")}`;
    default:
      return assertNever(credentials);
  }
}

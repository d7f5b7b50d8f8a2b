import { assertNever } from "../errors/assert-never.ts";
import type { Credentials } from "../settings/settings.ts";

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

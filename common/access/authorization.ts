import { assertNever } from "../errors/assert-never.ts";

/** The credentials of a caller. */
export type Credentials = Readonly<{ kind: "token"; token: string } | { kind: "password"; user: string; password: string }>;

/** The least length of a password, in bytes of UTF-8. Settings need it without the validation of users. */
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

import type { Credentials } from "../../../common/access/authorization.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { utf8Text } from "../../../common/text/utf8.ts";
import type { StoredLogin } from "./profiles.ts";
import { readServerUrl } from "./server-url.ts";

/** The login file of the original tool, in the home folder. */
export const ORIGINAL_LOGIN_FILE = ".nebula.json";

/**
 * Parses the login of the original tool: host, port and protocol, or host_uri instead; username; password and token in
 * base64. An empty text counts as absent. A token takes precedence over a password.
 */
export function parseOriginalLogin(text: string): StoredLogin {
  const fields = jsonObject(text);
  const textOf = (name: string) => {
    const value = fields[name];
    return value === undefined || value === null || value === "" ? undefined : String(value);
  };
  const [host, hostUri] = [textOf("host"), textOf("host_uri")];
  if (host === undefined && hostUri === undefined) throw unreadable('it has no "host" and no "host_uri"');
  const url = hostUri ?? `${textOf("protocol") ?? "http"}://${host}:${textOf("port") ?? "80"}`;
  const server = readServerUrl(url, `~/${ORIGINAL_LOGIN_FILE}`);
  const credentials = credentialsOf(textOf("username"), decoded(textOf("password")), decoded(textOf("token")));
  return { server, credentials };
}

function credentialsOf(user: string | undefined, password: string | undefined, token: string | undefined): Credentials | undefined {
  if (token !== undefined) return { kind: "token", token };
  if (user === undefined || password === undefined) return undefined;
  return { kind: "password", user, password };
}

function decoded(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : utf8Text(Buffer.from(base64, "base64"), `a login in ~/${ORIGINAL_LOGIN_FILE}`);
}

function jsonObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unreadable("it is not a JSON object");
  return { ...value };
}

function unreadable(why: string): NebulaError {
  return new NebulaError("failed_precondition", `~/${ORIGINAL_LOGIN_FILE} can't be read: ${why}; log in again with nebulactl login`);
}

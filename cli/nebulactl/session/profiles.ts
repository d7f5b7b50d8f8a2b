import type { Credentials } from "../../../common/access/authorization.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ServerUrl } from "../../../common/settings/settings.ts";
import { formatServerUrl, readServerUrl } from "./server-url.ts";
import type { TlsFiles } from "./tls-files.ts";

/** The file of stored logins, in the home folder. Only its owner may read it. */
export const PROFILES_FILE = ".nebulactl.json";
/** The profile that a login without --profile creates. */
export const DEFAULT_PROFILE = "default";

/** A server, and the login for it; `tlsFiles` are absolute paths, absent if there are none. */
export type StoredLogin = Readonly<{ server: ServerUrl; credentials: Credentials | undefined; tlsFiles?: TlsFiles }>;

/** The stored logins by name, and the name of the one that is used by default. */
export type Profiles = Readonly<{ current: string | undefined; logins: ReadonlyMap<string, StoredLogin> }>;

export const NO_PROFILES: Profiles = { current: undefined, logins: new Map() };

type ProfileEntry = {
  server?: unknown;
  user?: unknown;
  password?: unknown;
  token?: unknown;
  tls_ca?: unknown;
  tls_client_cert?: unknown;
  tls_client_key?: unknown;
};

/**
 * Parses the file of stored logins: `{"current": "prod", "profiles": {"prod": {"server": "https://...", "user": "...",
 * "password": "..."}}}`.
 */
export function parseProfiles(text: string): Profiles {
  const file = objectOf(parsed(text), "it");
  const entries = Object.entries(objectOf(file.profiles ?? {}, '"profiles"'));
  const logins = new Map(entries.map(([name, entry]) => [name, storedLogin(name, objectOf(entry, `profile "${name}"`))]));
  return { current: typeof file.current === "string" && logins.has(file.current) ? file.current : undefined, logins };
}

export function printProfiles({ current, logins }: Profiles): string {
  const profiles = Object.fromEntries([...logins].map(([name, login]) => [name, profileEntry(login)]));
  return `${JSON.stringify({ current, profiles }, undefined, 2)}\n`;
}

/** Adds or replaces a login, which becomes the current one. */
export function withProfile(profiles: Profiles, name: string, login: StoredLogin): Profiles {
  return { current: name, logins: new Map([...profiles.logins, [name, login]]) };
}

/** Removes a login. If it was the current one, no login is current. */
export function withoutProfile(profiles: Profiles, name: string): Profiles {
  const logins = new Map([...profiles.logins].filter(([known]) => known !== name));
  return { current: profiles.current === name ? undefined : profiles.current, logins };
}

/** The login of that name. Throws NebulaError (not_found) with the known names if absent. */
export function profileNamed(profiles: Profiles, name: string): StoredLogin {
  const login = profiles.logins.get(name);
  if (login !== undefined) return login;
  const names = [...profiles.logins.keys()];
  const hint = names.length === 0 ? "none is stored yet" : `known profiles are ${names.join(", ")}`;
  throw new NebulaError("not_found", `profile "${name}" not found, ${hint}; create it with nebulactl login --profile ${name} --server URL`);
}

function storedLogin(name: string, entry: ProfileEntry): StoredLogin {
  const { server, user, password, token } = entry;
  if (typeof server !== "string") throw unreadable(`profile "${name}" has no "server"`);
  const tlsFiles = tlsFilesOf(entry);
  return {
    server: readServerUrl(server, `the server of profile "${name}"`),
    credentials: credentialsOf(user, password, token),
    ...(Object.keys(tlsFiles).length === 0 ? {} : { tlsFiles }),
  };
}

function tlsFilesOf({ tls_ca: ca, tls_client_cert: clientCert, tls_client_key: clientKey }: ProfileEntry): TlsFiles {
  return {
    ...(typeof ca === "string" ? { ca } : {}),
    ...(typeof clientCert === "string" && typeof clientKey === "string" ? { clientCert, clientKey } : {}),
  };
}

function credentialsOf(user: unknown, password: unknown, token: unknown): Credentials | undefined {
  if (typeof token === "string") return { kind: "token", token };
  return typeof user === "string" && typeof password === "string" ? { kind: "password", user, password } : undefined;
}

function profileEntry({ server, credentials, tlsFiles: { ca, clientCert, clientKey } = {} }: StoredLogin): ProfileEntry {
  return { server: formatServerUrl(server), ...credentialsEntry(credentials), tls_ca: ca, tls_client_cert: clientCert, tls_client_key: clientKey };
}

function credentialsEntry(credentials: Credentials | undefined): ProfileEntry {
  if (credentials === undefined) return {};
  return credentials.kind === "token" ? { token: credentials.token } : { user: credentials.user, password: credentials.password };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable("it is not JSON");
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unreadable(`${what} is not a JSON object`);
  return { ...value };
}

function unreadable(why: string): NebulaError {
  return new NebulaError("failed_precondition", `~/${PROFILES_FILE} can't be read: ${why}; repair it, or remove it and log in again`);
}

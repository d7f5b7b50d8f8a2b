import type { Credentials } from "../../../common/access/authorization.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ServerUrl } from "../../../common/settings/settings.ts";
import type { ClientTls } from "../../../common/tls/client-tls.ts";
import { ORIGINAL_LOGIN_FILE } from "./original-login.ts";
import { type Profiles, profileNamed, type StoredLogin } from "./profiles.ts";
import { DEFAULT_SERVER, readServerUrl, sameServer } from "./server-url.ts";
import type { TlsFiles } from "./tls-files.ts";

/** The server of a run and the login for it, with the origin of each, for errors. */
export type Login = Readonly<{
  server: ServerUrl;
  serverFrom: string;
  credentials: Credentials | undefined;
  credentialsFrom: string;
  /** CA and client certificates; without them, the CA certificates of Node and no client certificate. */
  tls?: ClientTls;
  /** The TLS files that a stored login names; absent if it names none. */
  tlsFiles?: TlsFiles;
}>;

/** The values of the flags, the contents of the files that they name included. */
export type LoginFlags = Readonly<{
  server: string | undefined;
  profile: string | undefined;
  username: string | undefined;
  password: string | undefined;
  token: string | undefined;
}>;

/** The other sources. Files are read only if they are needed. */
export type LoginSources = Readonly<{
  env: Readonly<Record<string, string | undefined>>;
  profiles(): Promise<Profiles>;
  original(): Promise<StoredLogin | undefined>;
  /** Asks on the terminal. Rejects without one. */
  askPassword(user: string): Promise<string>;
}>;

type FoundCredentials = { credentials: Credentials | undefined; from: string; tlsFiles?: TlsFiles | undefined };
type Found = { server: ServerUrl; from: string; stored: StoredLogin | undefined };

/**
 * Finds server and credentials; the first source that names them counts. The server: --server, --profile,
 * NEBULA_SERVER, NEBULA_PROFILE, the current profile, the original tool's login, http://127.0.0.1:8080. The
 * credentials: flags, those of --profile, NEBULA_TOKEN, NEBULA_USER with NEBULA_PASSWORD, a stored login. A stored
 * login is sent only to the server that it was stored for.
 */
export async function resolveLogin(flags: LoginFlags, sources: LoginSources): Promise<Login> {
  const found = await findServer(flags, sources);
  const { credentials, from, tlsFiles = found.stored?.tlsFiles } = await findCredentials(flags, sources, found);
  return { server: found.server, serverFrom: found.from, credentials, credentialsFrom: from, ...(tlsFiles === undefined ? {} : { tlsFiles }) };
}

async function findServer(flags: LoginFlags, { env, profiles, original }: LoginSources): Promise<Found> {
  if (flags.server !== undefined && flags.profile !== undefined) {
    throw new NebulaError("invalid_argument", "--server and --profile both name a server; use one of them");
  }
  if (flags.server !== undefined) return { server: readServerUrl(flags.server, "--server"), from: "--server", stored: undefined };
  if (flags.profile !== undefined) return ofProfile(await profiles(), flags.profile);
  const fromEnv = given(env.NEBULA_SERVER);
  if (fromEnv !== undefined) return { server: readServerUrl(fromEnv, "NEBULA_SERVER"), from: "NEBULA_SERVER", stored: undefined };
  const known = await profiles();
  const name = given(env.NEBULA_PROFILE) ?? known.current;
  if (name !== undefined) return ofProfile(known, name);
  const old = await original();
  if (old !== undefined) return { server: old.server, from: `~/${ORIGINAL_LOGIN_FILE}`, stored: old };
  return { server: DEFAULT_SERVER, from: "the default", stored: undefined };
}

async function findCredentials(flags: LoginFlags, sources: LoginSources, found: Found): Promise<FoundCredentials> {
  const { env } = sources;
  const password = flags.password ?? given(env.NEBULA_PASSWORD);
  if (flags.token !== undefined) return { credentials: { kind: "token", token: flags.token }, from: "--token-file" };
  if (flags.username !== undefined) {
    const { username: user } = flags;
    return { credentials: { kind: "password", user, password: password ?? (await sources.askPassword(user)) }, from: "--username" };
  }
  if (flags.profile !== undefined && found.stored?.credentials !== undefined) return { credentials: found.stored.credentials, from: found.from };
  const token = given(env.NEBULA_TOKEN);
  if (token !== undefined) return { credentials: { kind: "token", token }, from: "NEBULA_TOKEN" };
  const user = given(env.NEBULA_USER);
  if (user !== undefined) {
    return { credentials: { kind: "password", user, password: password ?? (await sources.askPassword(user)) }, from: "NEBULA_USER" };
  }
  if (flags.password !== undefined) {
    throw new NebulaError("invalid_argument", "--password-file without a user; use --username or NEBULA_USER");
  }
  return storedCredentials(found, sources);
}

async function storedCredentials(found: Found, { profiles, original }: LoginSources): Promise<FoundCredentials> {
  if (found.stored !== undefined) return { credentials: found.stored.credentials, from: found.from };
  const known = await profiles();
  const current = known.current === undefined ? [] : [known.current];
  for (const name of [...current, ...known.logins.keys()]) {
    const login = known.logins.get(name);
    if (login?.credentials !== undefined && sameServer(login.server, found.server))
      return { credentials: login.credentials, from: profileLabel(name), tlsFiles: login.tlsFiles };
  }
  const old = await original();
  if (old?.credentials !== undefined && sameServer(old.server, found.server))
    return { credentials: old.credentials, from: `~/${ORIGINAL_LOGIN_FILE}` };
  return { credentials: undefined, from: "nowhere" };
}

function ofProfile(profiles: Profiles, name: string): Found {
  const stored = profileNamed(profiles, name);
  return { server: stored.server, from: profileLabel(name), stored };
}

function profileLabel(name: string): string {
  return `profile "${name}"`;
}

/** Undefined for a variable that is empty. */
function given(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}

import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { wholeSecret } from "../../../common/text/utf8.ts";
import type { ClientTlsNames } from "../../../common/tls/client-tls.ts";
import type { Io } from "../io/io.ts";
import { readOriginalLogin, readProfiles } from "../session/login-files.ts";
import { type Login, resolveLogin } from "../session/resolve-login.ts";
import { readClientTls, type TlsFiles } from "../session/tls-files.ts";
import type { FlagValues, TextFlag } from "./flags.ts";
import { PASSWORD_FILE, PROFILE, SERVER, TLS_CA, TLS_CLIENT_CERT, TLS_CLIENT_KEY, TOKEN_FILE, USERNAME } from "./global-flags.ts";
import { askPassword, readSecret, secretOf } from "./secrets.ts";

/** Finds the server and login of a command: from its flags, the environment and the files of the home folder. */
export async function findLogin(values: FlagValues, io: Io, signal: AbortSignal): Promise<Login> {
  const flags = {
    server: values.text(SERVER),
    profile: values.text(PROFILE),
    username: values.text(USERNAME),
    password: await secretOf(values, PASSWORD_FILE),
    token: await secretOf(values, TOKEN_FILE),
  };
  const login = await resolveLogin(flags, {
    env: await withSecretFiles(io.env),
    profiles: () => readProfiles(io.home, (sentence) => io.err(`warning: ${sentence}\n`)),
    original: () => readOriginalLogin(io.home),
    askPassword: (user) => askPassword(user, io, signal),
  });
  return { ...login, tls: await readClientTls({ ...login.tlsFiles, ...tlsFilesGiven(values, io) }, tlsFilesFrom(values, io, login.credentialsFrom)) };
}

/**
 * The environment, with NEBULA_TOKEN and NEBULA_PASSWORD read from the files that NEBULA_TOKEN_FILE and
 * NEBULA_PASSWORD_FILE name.
 */
async function withSecretFiles(env: Io["env"]): Promise<Io["env"]> {
  const found: Record<string, string> = {};
  for (const name of ["NEBULA_TOKEN", "NEBULA_PASSWORD"]) {
    const path = env[`${name}_FILE`] ?? "";
    if (path !== "" && (env[name] ?? "") === "") found[name] = await readSecret(path, `${name}_FILE`);
  }
  const all = { ...env, ...found };
  for (const name of ["NEBULA_TOKEN", "NEBULA_PASSWORD"]) wholeSecret(all[name] ?? "", name);
  return all;
}

/** The TLS files that the flags, or else the variables, name. */
export function tlsFilesGiven(values: FlagValues, { env }: Pick<Io, "env">): TlsFiles {
  const path = (flag: TextFlag, variable: string) => values.text(flag) ?? (env[variable] === "" ? undefined : env[variable]);
  const ca = path(TLS_CA, "NEBULA_TLS_CA");
  const clientCert = path(TLS_CLIENT_CERT, "NEBULA_TLS_CLIENT_CERT");
  const clientKey = path(TLS_CLIENT_KEY, "NEBULA_TLS_CLIENT_KEY");
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    throw new NebulaError("invalid_argument", "a client certificate needs its key; use both --tls-client-cert and --tls-client-key");
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(clientCert === undefined || clientKey === undefined ? {} : { clientCert, clientKey }),
  };
}

/** The origin of each TLS file, for errors: a flag, else a variable, else a stored login. */
export function tlsFilesFrom(values: FlagValues, { env }: Pick<Io, "env">, stored: string): ClientTlsNames {
  const name = (flag: TextFlag, variable: string, what: string) => {
    if (values.has(flag)) return `--${flag.name}`;
    return (env[variable] ?? "") === "" ? `${stored}: ${what}` : variable;
  };
  return {
    ca: name(TLS_CA, "NEBULA_TLS_CA", "its authority's file"),
    clientCert: name(TLS_CLIENT_CERT, "NEBULA_TLS_CLIENT_CERT", "its certificate"),
    clientKey: name(TLS_CLIENT_KEY, "NEBULA_TLS_CLIENT_KEY", "its key"),
  };
}

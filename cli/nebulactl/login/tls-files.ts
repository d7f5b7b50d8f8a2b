import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { systemReason } from "../../../common/errors/system-reason.ts";
import { type ClientTls, type ClientTlsNames, clientTlsFiles, makeClientTls } from "../../../common/tls/client-tls.ts";
import type { FlagValues, TextFlag } from "../command/flags.ts";
import { TLS_CA, TLS_CLIENT_CERT, TLS_CLIENT_KEY } from "../command/global-flags.ts";
import type { Io } from "../io.ts";

/** The files that say what is trusted of a server, and what is shown to it. */
export type TlsFiles = Readonly<{ ca?: string; clientCert?: string; clientKey?: string }>;

/** The files as the flags, or the variables of the same names, say. */
export function tlsFilesGiven(values: FlagValues, { env }: Pick<Io, "env">): TlsFiles {
  const path = (flag: TextFlag, variable: string) => values.text(flag) ?? (env[variable] === "" ? undefined : env[variable]);
  const ca = path(TLS_CA, "NEBULA_TLS_CA");
  const clientCert = path(TLS_CLIENT_CERT, "NEBULA_TLS_CLIENT_CERT");
  const clientKey = path(TLS_CLIENT_KEY, "NEBULA_TLS_CLIENT_KEY");
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    throw new NebulaError("invalid_argument", "a client certificate needs its key: give both --tls-client-cert and --tls-client-key");
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(clientCert === undefined || clientKey === undefined ? {} : { clientCert, clientKey }),
  };
}

/** As they are kept with a login: found from whatever folder nebulactl runs in. */
export function absoluteTlsFiles({ ca, clientCert, clientKey }: TlsFiles): TlsFiles {
  return {
    ...(ca === undefined ? {} : { ca: resolve(ca) }),
    ...(clientCert === undefined || clientKey === undefined ? {} : { clientCert: resolve(clientCert), clientKey: resolve(clientKey) }),
  };
}

/** How the files were given, for errors: by a flag, else by a variable, else by a stored login. */
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

/** What the files hold. */
export async function readClientTls({ ca, clientCert, clientKey }: TlsFiles, names: ClientTlsNames): Promise<ClientTls> {
  const files = clientTlsFiles({ ca, clientCert, clientKey }, names).map(async (file) => ({ ...file, bytes: await read(file.setting, file.path) }));
  return makeClientTls(await Promise.all(files));
}

async function read(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new NebulaError("invalid_argument", `${setting} ${path} can't be read: ${systemReason(error)}`, { cause: error });
  }
}

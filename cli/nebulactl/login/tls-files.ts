import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import { type ClientTls, clientTlsFiles, makeClientTls } from "../../../common/tls/client-tls.ts";
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

/** What the files hold. */
export async function readClientTls({ ca, clientCert, clientKey }: TlsFiles): Promise<ClientTls> {
  const files = await Promise.all(
    clientTlsFiles({ ca, clientCert, clientKey }).map(async ({ setting, path: file }) => ({ setting, path: file, bytes: await read(setting, file) })),
  );
  return makeClientTls(files);
}

async function read(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new NebulaError("invalid_argument", `${setting} ${path} can't be read: ${messageOf(error)}`, { cause: error });
  }
}

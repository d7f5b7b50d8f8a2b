import { readFile } from "node:fs/promises";
import { messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import { type ClientTls, clientTlsFiles, makeClientTls } from "../../../common/tls/client-tls.ts";
import type { FlagValues, TextFlag } from "../command/flags.ts";
import { TLS_CA, TLS_CLIENT_CERT, TLS_CLIENT_KEY } from "../command/global-flags.ts";
import type { Io } from "../io.ts";

/** What is trusted of a server, and shown to it: as the flags, or the variables of the same names, say. */
export async function readClientTls(values: FlagValues, { env }: Pick<Io, "env">): Promise<ClientTls> {
  const path = (flag: TextFlag, variable: string) => values.text(flag) ?? (env[variable] === "" ? undefined : env[variable]);
  const given = {
    ca: path(TLS_CA, "NEBULA_TLS_CA"),
    clientCert: path(TLS_CLIENT_CERT, "NEBULA_TLS_CLIENT_CERT"),
    clientKey: path(TLS_CLIENT_KEY, "NEBULA_TLS_CLIENT_KEY"),
  };
  if ((given.clientCert === undefined) !== (given.clientKey === undefined)) {
    throw new NebulaError("invalid_argument", "a client certificate needs its key: give both --tls-client-cert and --tls-client-key");
  }
  const files = await Promise.all(
    clientTlsFiles(given).map(async ({ setting, path: file }) => ({ setting, path: file, bytes: await read(setting, file) })),
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

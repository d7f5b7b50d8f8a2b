import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { systemReason } from "../../../common/errors/system-reason.ts";
import type { ClientTls, ClientTlsNames } from "../../../common/tls/client-tls.ts";

/** The paths of the CA certificates to trust, and of the client certificate and key. */
export type TlsFiles = Readonly<{ ca?: string; clientCert?: string; clientKey?: string }>;

/** The absolute paths, as stored with a login: they must work from any folder. */
export function absoluteTlsFiles({ ca, clientCert, clientKey }: TlsFiles): TlsFiles {
  return {
    ...(ca === undefined ? {} : { ca: resolve(ca) }),
    ...(clientCert === undefined || clientKey === undefined ? {} : { clientCert: resolve(clientCert), clientKey: resolve(clientKey) }),
  };
}

/** Reads the files. Rejects with NebulaError (invalid_argument) if one is not readable or not valid. */
export async function readClientTls(paths: TlsFiles, names: ClientTlsNames): Promise<ClientTls> {
  if (Object.keys(paths).length === 0) return {};
  const { clientTlsFiles, makeClientTls } = await import("../../../common/tls/client-tls.ts");
  const { ca, clientCert, clientKey } = paths;
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

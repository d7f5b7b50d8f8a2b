import { readFile } from "node:fs/promises";
import { assertNever } from "../../errors/assert-never.ts";
import { NebulaError } from "../../errors/nebula-error.ts";
import { systemReason } from "../../errors/system-reason.ts";
import type { BackendLogin } from "../../settings/settings.ts";
import type { KafkaAddress } from "./kafka-url.ts";
import type { SASLOptions } from "./kafkajs-guards.ts";

/** The credentials that a broker asks for besides the address. */
export type KafkaLogin = Readonly<{
  password: string | undefined;
  /** Certificates in PEM that the brokers' are checked with; undefined: those that come with Node. */
  ca?: string;
  /** The client's own certificate and key in PEM, where brokers ask for one. */
  certificate?: Readonly<{ cert: string; key: string }>;
}>;

export const NO_LOGIN: KafkaLogin = { password: undefined };

/**
 * Reads the files of a login.
 * @throws NebulaError invalid_argument which setting names a file that cannot be read
 */
export async function readLogin({ password, ca, cert, key }: BackendLogin): Promise<KafkaLogin> {
  if ((cert === undefined) !== (key === undefined))
    throw new NebulaError("invalid_argument", "NEBULA_BUS_CERT and NEBULA_BUS_KEY belong together; give both or neither");
  return {
    password,
    ...(ca === undefined ? {} : { ca: await readPem("NEBULA_BUS_CA", ca) }),
    ...(cert === undefined || key === undefined
      ? {}
      : { certificate: { cert: await readPem("NEBULA_BUS_CERT", cert), key: await readPem("NEBULA_BUS_KEY", key) } }),
  };
}

async function readPem(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new NebulaError("invalid_argument", `invalid ${setting} "${path}": ${systemReason(error)}; use a PEM file`, { cause: error });
  }
}

/** Returns the SASL options for kafkajs; undefined where the URL names no user. */
export function saslOptions({ user: username, mechanism }: KafkaAddress, { password }: KafkaLogin): SASLOptions | undefined {
  if (username === undefined) return undefined;
  if (password === undefined)
    throw new NebulaError("invalid_argument", `NEBULA_BUS: the user "${username}" has no password; set NEBULA_BUS_PASSWORD`);
  switch (mechanism) {
    case "plain":
      return { mechanism, username, password };
    case "scram-sha-256":
      return { mechanism, username, password };
    case "scram-sha-512":
      return { mechanism, username, password };
    default:
      return assertNever(mechanism);
  }
}

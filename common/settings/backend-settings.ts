import { orUndefined, parseText } from "./parsers.ts";
import { type Alias, type Part, renamed, SERVER, secret, setting } from "./setting.ts";

type Backend = Readonly<{ parts: readonly Part[]; defaultText: string; aliases?: readonly Alias[] }>;

function password(variable: `NEBULA_${string}`, of: string, { parts, defaultText, aliases = [] }: Backend) {
  return secret({
    variable,
    aliases,
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText,
    parts,
    meaning: `The password for the servers of ${of}; the user is in its URL.`,
  });
}

function authorities(variable: `NEBULA_${string}`, of: string, { parts, defaultText, aliases = [] }: Backend) {
  return setting({
    variable,
    aliases,
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText,
    parts,
    meaning: `PEM file of the authorities that the certificates of the servers of ${of} have to be of.`,
  });
}

const BUS_PARTS: readonly Part[] = ["manager", "reporter", "migrate"];
const NODES = "those that come with Node";

/** The logins of the servers that Nebula stores in. */
export const BACKEND_SETTINGS = {
  storePassword: password("NEBULA_STORE_PASSWORD", "NEBULA_STORE", { parts: ["manager", "reporter", "migrate"], defaultText: "none" }),
  storeCa: authorities("NEBULA_STORE_CA", "NEBULA_STORE", { parts: ["manager", "reporter", "migrate"], defaultText: NODES }),
  reportsPassword: password("NEBULA_REPORTS_PASSWORD", "NEBULA_REPORTS", {
    parts: ["manager", "reporter", "migrate"],
    defaultText: "as NEBULA_STORE_PASSWORD",
  }),
  reportsCa: authorities("NEBULA_REPORTS_CA", "NEBULA_REPORTS", { parts: ["manager", "reporter", "migrate"], defaultText: "as NEBULA_STORE_CA" }),
  redisPassword: password("NEBULA_REDIS_PASSWORD", "NEBULA_REDIS", { parts: [...SERVER, "migrate"], defaultText: "none" }),
  redisCa: authorities("NEBULA_REDIS_CA", "NEBULA_REDIS", { parts: [...SERVER, "migrate"], defaultText: NODES }),
  busPassword: password("NEBULA_BUS_PASSWORD", "NEBULA_BUS", {
    parts: BUS_PARTS,
    defaultText: "none",
    aliases: [renamed("KAFKA_SASL_PLAIN_PASSWORD")],
  }),
  busCa: authorities("NEBULA_BUS_CA", "NEBULA_BUS", { parts: BUS_PARTS, defaultText: NODES, aliases: [renamed("KAFKA_SSL_CAFILE")] }),
  busCert: setting({
    variable: "NEBULA_BUS_CERT",
    aliases: [renamed("KAFKA_SSL_CERTFILE")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: BUS_PARTS,
    meaning: "PEM file of the certificate to show to brokers of NEBULA_BUS that ask for one.",
  }),
  busKey: setting({
    variable: "NEBULA_BUS_KEY",
    aliases: [renamed("KAFKA_SSL_KEYFILE")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: BUS_PARTS,
    meaning: "PEM file of the private key of NEBULA_BUS_CERT, which is not encrypted.",
  }),
};

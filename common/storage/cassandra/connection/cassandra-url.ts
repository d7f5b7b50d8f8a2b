import { NebulaError } from "../../../errors/nebula-error.ts";

/** The hosts of a keyspace, and how it is read and written: `cassandra://host:9042,host2/keyspace?dc=..&rf=..&consistency=..&tls=..&user=..`. */
export type CassandraTarget = Readonly<{
  /** host:port each; one of them has to answer for the others to be found. */
  contactPoints: readonly string[];
  /** The port of nodes that do not announce another one. */
  port: number;
  keyspace: string;
  /** The data center that is asked; undefined: the only one that there is. */
  dataCenter: string | undefined;
  /** Copies of each row, for the keyspace that `nebula migrate` makes; undefined: 3, or as many as the data center has nodes. */
  replication: number | undefined;
  /** local: one data center writes; global: several do, and each write waits for a majority of all of them. */
  consistency: "local" | "global";
  tls: boolean;
  user: string | undefined;
}>;

const DEFAULT_PORT = 9042;
const EXAMPLE = "cassandra://host:9042,host2:9042/keyspace?dc=datacenter1";
/** Identifiers that Cassandra accepts without quotes. */
const KEYSPACE = /^[a-z][a-z0-9_]{0,47}$/;
const PARAMETERS = ["dc", "rf", "consistency", "tls", "user"] as const;

/**
 * Reads a URL of NEBULA_STORE or NEBULA_REPORTS. No message shows the URL: it may carry a password where it must not.
 * @throws NebulaError invalid_argument
 */
export function parseCassandraUrl(setting: string, url: string): CassandraTarget {
  const refuse = (why: string): never => {
    throw new NebulaError("invalid_argument", `invalid ${setting}: ${why}; use ${EXAMPLE}`);
  };
  const [, authority = "", path = "", query = ""] =
    /^cassandra:\/\/([^/?#]*)\/?([^?#]*)\??([^#]*)$/.exec(url) ?? refuse("it is not a URL of Cassandra");
  if (authority.includes("@")) refuse(`a login does not belong before the host: give the user as ?user=, the password as ${setting}_PASSWORD`);
  if (!KEYSPACE.test(path)) refuse("the keyspace is missing, or has other characters than a-z, 0-9 and _");
  const contactPoints = authority.split(",").map((host) => contactPoint(host) ?? refuse("a host is missing, or its port is not 1 to 65535"));
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (PARAMETERS.every((known) => known !== name)) refuse(`unknown parameter "${name}", known are ${PARAMETERS.join(", ")}`);
  }
  const rf = parameters.get("rf");
  if (rf !== null && !/^[1-9]\d?$/.test(rf)) refuse(`rf "${rf}" is not a number of copies, 1 to 99`);
  const consistency = parameters.get("consistency") ?? "local";
  if (consistency !== "local" && consistency !== "global") return refuse(`consistency "${consistency}" is neither local nor global`);
  const tls = parameters.get("tls") ?? "false";
  if (tls !== "true" && tls !== "false") refuse(`tls "${tls}" is neither true nor false`);
  return {
    contactPoints: contactPoints.map(({ text }) => text),
    port: contactPoints[0]?.port ?? DEFAULT_PORT,
    keyspace: path,
    dataCenter: parameters.get("dc") || undefined,
    replication: rf === null ? undefined : Number(rf),
    consistency,
    tls: tls === "true",
    user: parameters.get("user") || undefined,
  };
}

function contactPoint(text: string): { text: string; port: number } | undefined {
  const [, host, port = String(DEFAULT_PORT)] = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
  return { text: `${host}:${port}`, port: Number(port) };
}

import { NebulaError } from "../errors/nebula-error.ts";
import { formatAddress } from "../net/address.ts";

/** Where a Redis is, as NEBULA_REDIS says. */
export type RedisTarget = Readonly<{
  /** `sentinel`: the nodes are sentinels, which name the master. */
  mode: "single" | "sentinel" | "cluster";
  /** At least one. */
  nodes: readonly Readonly<{ host: string; port: number }>[];
  user: string | undefined;
  password: string | undefined;
  database: number;
  /** The name by which sentinels know the master. */
  master: string;
  tls: boolean;
  /** Whether the sentinels want the same login. */
  sentinelLogin: boolean;
}>;

const MODES: Readonly<Record<string, Pick<RedisTarget, "mode" | "tls">>> = {
  redis: { mode: "single", tls: false },
  rediss: { mode: "single", tls: true },
  "redis-sentinel": { mode: "sentinel", tls: false },
  "redis-cluster": { mode: "cluster", tls: false },
};

const EXAMPLES: Readonly<Record<RedisTarget["mode"], string>> = {
  single: "redis://host:6379/0",
  sentinel: "redis-sentinel://host1:26379,host2:26379/mymaster",
  cluster: "redis-cluster://host1:6379,host2:6379",
};

const FORM = /^(redis|rediss|redis-sentinel|redis-cluster):\/\/(?:([^/?#]*)@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/;

/**
 * Reads NEBULA_REDIS.
 * @throws NebulaError invalid_argument; the message holds no password
 */
export function parseRedisUrl(setting: string, url: string): RedisTarget {
  const [, scheme = "", login = "", hosts = "", path = "", query = ""] = FORM.exec(url) ?? fail(setting, "it is not a URL of Redis", "single");
  const { mode, tls } = MODES[scheme] ?? fail(setting, `its scheme is "${scheme}"`, "single");
  const wrong = (why: string) => fail(setting, why, mode);
  const nodes = hosts.split(",").map((text) => parseNode(text, mode === "sentinel" ? 26_379 : 6379) ?? wrong(`"${text}" is not a host and port`));
  if (mode === "single" && nodes.length > 1) wrong("it names several servers; redis-sentinel:// and redis-cluster:// do");
  const [user, password] = parseLogin(login) ?? wrong("its login is not encoded as a URL needs it");
  const options = parseQuery(query, mode, wrong);
  const [first = "", second = ""] = path.split("/");
  const [master, database] = mode === "sentinel" ? [decodeURIComponent(first), second] : ["", first];
  if (mode === "sentinel" && master === "") wrong("it does not name the master");
  if (!/^\d{0,5}$/.test(database) || path.split("/").length > (mode === "sentinel" ? 2 : 1)) wrong(`"${path}" is not the number of a database`);
  if (mode === "cluster" && Number(database) !== 0) wrong("a cluster has the database 0 alone");
  return { mode, nodes, user, password, database: Number(database), master, tls: tls || options.tls, sentinelLogin: options.sentinelLogin };
}

/** The target for logs and messages, without a login. */
export function describeTarget({ mode, nodes, master, tls }: RedisTarget): string {
  const hosts = nodes.map(formatAddress).join(", ");
  return `${mode === "sentinel" ? `master ${master} of the sentinels ` : ""}${hosts}${tls ? " (TLS)" : ""}`;
}

function parseNode(text: string, port: number): { host: string; port: number } | undefined {
  const [, v6, name, given] = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = v6 ?? name;
  const number = given === undefined ? port : Number(given);
  return host === undefined || number < 1 || number > 65_535 ? undefined : { host, port: number };
}

function parseLogin(login: string): readonly [string | undefined, string | undefined] | undefined {
  try {
    const colon = login.indexOf(":");
    const [user, password] = colon < 0 ? [login, ""] : [login.slice(0, colon), login.slice(colon + 1)];
    return [decodeURIComponent(user) || undefined, decodeURIComponent(password) || undefined];
  } catch {
    return undefined;
  }
}

function parseQuery(query: string, mode: RedisTarget["mode"], wrong: (why: string) => never): Pick<RedisTarget, "tls" | "sentinelLogin"> {
  const values: Record<string, boolean> = {};
  const known = mode === "sentinel" ? ["tls", "sentinel-login"] : ["tls"];
  for (const [name, value] of new URLSearchParams(query)) {
    if (!known.includes(name)) wrong(`there is no parameter "${name}"; there is ${known.join(", ")}`);
    if (value !== "true" && value !== "false") wrong(`"${name}" is neither true nor false`);
    values[name] = value === "true";
  }
  return { tls: values.tls ?? false, sentinelLogin: values["sentinel-login"] ?? false };
}

function fail(setting: string, why: string, mode: RedisTarget["mode"]): never {
  throw new NebulaError("invalid_argument", `invalid ${setting}: ${why}; use ${EXAMPLES[mode]}`);
}

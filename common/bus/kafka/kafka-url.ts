import { NebulaError } from "../../errors/nebula-error.ts";

export const MECHANISMS = ["plain", "scram-sha-256", "scram-sha-512"] as const;
export type Mechanism = (typeof MECHANISMS)[number];

/** The address of a Kafka cluster, as NEBULA_BUS gives it. */
export type KafkaAddress = Readonly<{
  /** host:port of the brokers to begin with. */
  brokers: readonly string[];
  topic: string;
  tls: boolean;
  user: string | undefined;
  mechanism: Mechanism;
  /** How many partitions `nebula migrate` makes or grows the topic to; undefined: 48, or as many as it has. */
  partitions: number | undefined;
}>;

const EXAMPLE = "kafka://host:9092,host2:9092/nebula-reports";
const DEFAULT_PORT = 9092;
const MOST_PARTITIONS = 1_000;
const PARAMETERS = ["tls", "user", "mechanism", "partitions"];

/**
 * Reads `kafka://host:9092,host2:9092/topic?tls=true&user=nebula&mechanism=scram-sha-512&partitions=48`; the port is 9092, the mechanism plain by default.
 * @throws NebulaError invalid_argument which part is wrong; a password in the URL is not shown
 */
export function parseKafkaUrl(url: string): KafkaAddress {
  const match = /^kafka:\/\/([^/?#]*)\/([^/?#]*)(?:\?([^#]*))?$/.exec(url);
  if (match === null) throw wrong(`invalid URL of Kafka: brokers and a topic are missing; use ${EXAMPLE}`);
  const [, hosts = "", topic = "", query = ""] = match;
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) if (!PARAMETERS.includes(name)) throw wrong(`unknown parameter "${name}": use ${PARAMETERS.join(", ")}`);
  const tls = parameters.get("tls") ?? "false";
  if (tls !== "true" && tls !== "false") throw wrong(`invalid tls "${tls}": use true or false`);
  return {
    brokers: hosts.split(",").map(parseBroker),
    topic: parseTopic(topic),
    tls: tls === "true",
    user: parameters.get("user") ?? undefined,
    mechanism: parseMechanism(parameters.get("mechanism") ?? "plain"),
    partitions: parsePartitions(parameters.get("partitions")),
  };
}

function parseBroker(text: string): string {
  if (text.includes("@")) throw wrong("invalid broker: a URL of Kafka carries no login; use ?user=NAME and NEBULA_BUS_PASSWORD");
  const match = /^([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  if (match === null || port < 1 || port > 65_535) throw wrong(`invalid broker "${text}": it is not host:port; use ${EXAMPLE}`);
  return `${match[1]}:${port}`;
}

function parseTopic(text: string): string {
  if (/^[A-Za-z0-9._-]{1,200}$/.test(text) && text !== "." && text !== "..") return text;
  throw wrong(`invalid topic "${text}": it has 1 to 200 letters, digits, dots, underscores and hyphens; use nebula-reports`);
}

/** GSSAPI needs a Kerberos library, which kafkajs has none of. */
function parseMechanism(text: string): Mechanism {
  const wanted = text.toLowerCase();
  const known = MECHANISMS.find((mechanism) => mechanism === wanted);
  if (known !== undefined) return known;
  const why = wanted === "gssapi" ? "Kerberos is not supported" : "it is not known";
  throw wrong(`invalid mechanism "${text}": ${why}; use ${MECHANISMS.join(", ")}`);
}

function parsePartitions(text: string | null): number | undefined {
  if (text === null) return undefined;
  const count = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= MOST_PARTITIONS) return count;
  throw wrong(`invalid partitions "${text}": use 1 to ${MOST_PARTITIONS}`);
}

function wrong(description: string): NebulaError {
  return new NebulaError("invalid_argument", `NEBULA_BUS: ${description}`);
}

import { SHORTEST_PASSWORD } from "../access/authorization.ts";
import { BACKEND_SETTINGS } from "./backend-settings.ts";
import { CONNECTION_SETTINGS, TLS_SETTINGS } from "./connection-settings.ts";
import { kafkaAddress } from "./older-names.ts";
import {
  durationBetween,
  knownDuration,
  oneOf,
  orUndefined,
  parseHostAndPort,
  parseListenAddress,
  parseListenAddressOrOff,
  parseShardName,
  parseText,
  textOfAtLeast,
  textOfAtLeastBytes,
  wholeNumber,
} from "./parsers.ts";
import { EVERY, inSeconds, renamed, SERVER, type Setting, secret, setting, toggle } from "./setting.ts";
import { driverUrl, parseManagers } from "./urls.ts";
import { WORKER_SETTINGS } from "./worker-settings.ts";

/** Every setting of every part, by way of the tables of some: what it is called, what it may be, and what it means. docs/settings.md is made from it. */
export const SETTINGS = {
  config: setting({
    variable: "NEBULA_CONFIG",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: EVERY,
    meaning: "A YAML file with settings; a key is the variable's name without `NEBULA_`, in lower case.",
  }),
  httpListen: setting({
    variable: "NEBULA_HTTP_LISTEN",
    parse: parseListenAddress,
    fallback: { host: "127.0.0.1", port: 8080 },
    defaultText: "127.0.0.1:8080",
    parts: ["gateway"],
    meaning: "Where the gateway serves the API as JSON over HTTP, `/healthz`, and `/readyz`: 200 while a manager is connected.",
  }),
  dashboard: toggle({
    variable: "NEBULA_DASHBOARD",
    fallback: true,
    defaultText: "on",
    parts: ["gateway"],
    meaning: "Off: the gateway serves nothing below `/ui/`: no dashboard (docs/dashboard.md), and no login of browsers (docs/access.md).",
  }),
  metricsListen: setting({
    variable: "NEBULA_METRICS_LISTEN",
    parse: parseListenAddressOrOff,
    fallback: { host: "127.0.0.1", port: 9464 },
    defaultText: "127.0.0.1:9464; worker: off",
    parts: [...SERVER, "worker", "health"],
    meaning:
      "Where `/metrics`, `/healthz` and `/readyz` are served, without a login; over loopback only under a name of this machine (an address, localhost, a name without a dot, its host name), else 403; `off`: nowhere. The default address being taken is one warning, a given one being taken ends the start.",
  }),
  grpcListen: setting({
    variable: "NEBULA_GRPC_LISTEN",
    parse: parseListenAddress,
    fallback: { host: "127.0.0.1", port: 50051 },
    defaultText: "127.0.0.1:50051",
    parts: ["manager", "gateway"],
    meaning: "Where the manager serves gRPC; a gateway dials it unless NEBULA_MANAGERS is given.",
  }),
  grpcAdvertise: setting({
    variable: "NEBULA_GRPC_ADVERTISE",
    parse: orUndefined(parseHostAndPort),
    fallback: undefined,
    defaultText: "the listen address; the host name where that is every interface",
    parts: ["manager"],
    meaning: "host:port that workers dial.",
  }),
  shard: setting({
    variable: "NEBULA_SHARD",
    parse: orUndefined(parseShardName),
    fallback: undefined,
    defaultText: "host name and port",
    parts: ["manager"],
    meaning: "The shard's name, by which device_groups are given to the shards; the same after a restart, and another one for each shard.",
  }),
  drain: setting({
    variable: "NEBULA_DRAIN",
    parse: durationBetween("0", "1h"),
    fallback: knownDuration("60s"),
    defaultText: "60s",
    parts: ["manager"],
    meaning:
      "How long a manager that stops may take to hand its devices to the other shards; 0 ends all watches at once. Without effect where there is one manager.",
  }),
  managers: setting({
    variable: "NEBULA_MANAGERS",
    parse: parseManagers,
    fallback: [],
    defaultText: "NEBULA_GRPC_LISTEN",
    parts: ["gateway"],
    meaning:
      "The managers that a gateway calls, `grpc://a:50051,b:50051`; a name stands for all its addresses, looked up every 10 s (docs/shards.md).",
  }),
  redirect: toggle({
    variable: "NEBULA_REDIRECT",
    fallback: true,
    defaultText: "on",
    parts: ["manager"],
    meaning:
      "Off: a manager serves the watches of any device_group (for one load balancer in front of all). Without effect where there is one manager.",
  }),
  data: setting({
    variable: "NEBULA_DATA",
    parse: parseText,
    fallback: "./data",
    defaultText: "./data",
    parts: [...SERVER, "migrate", "backup"],
    meaning: "The folder of the SQLite files and of the generated secrets.",
  }),
  adminUser: setting({
    variable: "NEBULA_ADMIN_USER",
    flag: undefined,
    aliases: [renamed("BASIC_AUTH_USER")],
    parse: parseText,
    fallback: "admin",
    defaultText: "admin",
    parts: ["manager"],
    meaning: "The name of the local admin.",
  }),
  adminPassword: secret({
    variable: "NEBULA_ADMIN_PASSWORD",
    aliases: [renamed("BASIC_AUTH_PASSWORD")],
    parse: orUndefined(textOfAtLeastBytes(SHORTEST_PASSWORD)),
    fallback: undefined,
    defaultText: "made at the first start (sqlite only)",
    parts: ["manager"],
    meaning: "The local admin's password, at least 8 bytes. A generated one is kept in NEBULA_DATA and printed once, to a terminal only.",
  }),
  adminToken: secret({
    variable: "NEBULA_ADMIN_TOKEN",
    aliases: [renamed("AUTH_TOKEN")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["manager"],
    meaning: "A token of the local admin besides the password.",
  }),
  clusterKey: secret({
    variable: "NEBULA_CLUSTER_KEY",
    parse: orUndefined(textOfAtLeast(16)),
    fallback: undefined,
    defaultText: "made at the first start (sqlite only)",
    parts: [...SERVER, "migrate"],
    meaning:
      "What the parts of one cluster trust each other by, and what secret values are encrypted under: the same for all of them. A generated one is kept in NEBULA_DATA.",
  }),
  newClusterKey: secret({
    variable: "NEBULA_NEW_CLUSTER_KEY",
    parse: orUndefined(textOfAtLeast(16)),
    fallback: undefined,
    defaultText: "made, where NEBULA_DATA holds the old one",
    parts: ["migrate"],
    meaning: "The cluster key to come, for `nebula migrate --new-cluster-key`.",
  }),
  store: setting({
    variable: "NEBULA_STORE",
    parse: driverUrl(["sqlite:"], ["cassandra://"], "sqlite: (in NEBULA_DATA), or cassandra://host:9042/keyspace"),
    fallback: "sqlite:",
    defaultText: "sqlite: (in NEBULA_DATA)",
    parts: [...SERVER, "migrate", "backup"],
    meaning:
      "Where apps, cron_jobs, device_groups, users and tokens are kept: `sqlite:`, for one process, or `cassandra://host:9042,host2/keyspace` (docs/cassandra.md).",
  }),
  reports: setting({
    variable: "NEBULA_REPORTS",
    parse: orUndefined(driverUrl(["sqlite:"], ["cassandra://"], "sqlite: (in NEBULA_DATA), or cassandra://host:9042/keyspace")),
    fallback: undefined,
    defaultText: "as NEBULA_STORE",
    parts: ["manager", "reporter", "migrate", "backup"],
    meaning: "Where the devices' reports are kept: `sqlite:`, or `cassandra://host:9042,host2/keyspace` (docs/cassandra.md).",
  }),
  redis: setting({
    variable: "NEBULA_REDIS",
    parse: driverUrl(["memory:"], ["redis://", "rediss://", "redis-sentinel://", "redis-cluster://"], "memory: or redis://host:6379"),
    fallback: "memory:",
    defaultText: "memory:",
    parts: [...SERVER, "migrate"],
    meaning:
      "Cache, change feed and membership of the managers; `memory:` serves one process. " +
      "`rediss://` is Redis over TLS, `redis-sentinel://host:26379,host2:26379/master` a master that sentinels know, `redis-cluster://host:6379,host2:6379` a Redis Cluster.",
  }),
  bus: setting({
    variable: "NEBULA_BUS",
    aliases: [kafkaAddress],
    parse: driverUrl(["memory:"], ["kafka://"], "memory: or kafka://host:9092/nebula-reports"),
    fallback: "memory:",
    defaultText: "memory:",
    parts: ["manager", "reporter", "migrate"],
    meaning:
      "How reports get from the managers to the reporters: `memory:` within one process, or `kafka://host:9092,host2:9092/nebula-reports` (docs/kafka.md), with `?tls=true`, `user=`, `mechanism=` and `partitions=`.",
  }),
  ...BACKEND_SETTINGS,
  cacheTime: setting({
    variable: "NEBULA_CACHE_TIME",
    aliases: [inSeconds("CACHE_TIME")],
    parse: durationBetween("1s", "1h"),
    fallback: knownDuration("10s"),
    defaultText: "10s",
    parts: ["manager", "gateway"],
    meaning: "How long a config is cached, and the most that a change can be late while the change feed is down.",
  }),
  ...WORKER_SETTINGS,
  authEnabled: toggle({
    variable: "NEBULA_AUTH_ENABLED",
    aliases: [renamed("AUTH_ENABLED")],
    fallback: true,
    defaultText: "true",
    parts: ["manager", "gateway"],
    meaning: "false makes everybody admin; refused beyond loopback, unless NEBULA_INSECURE_NO_AUTH says that this is meant.",
  }),
  insecureNoAuth: toggle({
    variable: "NEBULA_INSECURE_NO_AUTH",
    fallback: false,
    defaultText: "false",
    parts: ["manager", "gateway"],
    meaning: "Allows NEBULA_AUTH_ENABLED=false on addresses that others can reach.",
  }),
  auditRetention: setting({
    variable: "NEBULA_AUDIT_RETENTION",
    parse: durationBetween("1h", "3650d"),
    fallback: knownDuration("90d"),
    defaultText: "90d",
    parts: ["manager", "migrate"],
    meaning: "How long the audit log keeps its entries: who changed what, and who was refused.",
  }),
  sessionTtl: setting({
    variable: "NEBULA_SESSION_TTL",
    parse: durationBetween("1m", "30d"),
    fallback: knownDuration("12h"),
    defaultText: "12h",
    parts: ["manager"],
    meaning: "How long a login of a browser lasts. It ends before that with the password or token that it was made with.",
  }),
  maxDevicesPerGroup: setting({
    variable: "NEBULA_MAX_DEVICES_PER_GROUP",
    parse: wholeNumber(1, 10_000_000),
    fallback: 100_000,
    defaultText: "100000",
    parts: ["manager"],
    meaning:
      "The devices of a device_group that have no token of their own; all device_groups that do not exist count as one. More are refused until one is deleted, enrols, or was silent for 30 days.",
  }),
  ...TLS_SETTINGS,
  ...CONNECTION_SETTINGS,
  logLevel: setting({
    variable: "NEBULA_LOG_LEVEL",
    parse: oneOf("debug", "info", "warn", "error"),
    fallback: "info",
    defaultText: "info",
    parts: EVERY,
    meaning: "debug, info, warn or error: the lowest level that is logged; the log goes to standard error.",
  }),
  logFormat: setting({
    variable: "NEBULA_LOG_FORMAT",
    parse: orUndefined(oneOf("json", "text")),
    fallback: undefined,
    defaultText: "text on a terminal, else json",
    parts: EVERY,
    meaning: "json: one JSON object a line, whose `level` is debug, info, warn or error; text: lines for people.",
  }),
};

/** The settings as a list, in the order of the table. */
export const ALL_SETTINGS: readonly Setting<unknown>[] = Object.values(SETTINGS);

import { SHORTEST_PASSWORD } from "../access/authorization.ts";
import { CONNECTION_SETTINGS } from "./connection-settings.ts";
import { EVERY, SERVER, secret, setting, toggle } from "./define-setting.ts";
import { kafkaAddress } from "./older-names.ts";
import { driverUrl } from "./parse-driver-url.ts";
import { durationBetween, knownDuration } from "./parse-duration.ts";
import { parseListenAddress, parseListenAddressOrOff } from "./parse-listen-address.ts";
import { parseManagers } from "./parse-server-url.ts";
import { oneOf, parseHostAndPort, parseShardName, parseText, textOfAtLeast, textOfAtLeastBytes, wholeNumber } from "./parse-word.ts";
import { orUndefined } from "./parsed.ts";
import { inSeconds, renamed, type Setting } from "./setting.ts";
import { TLS_SETTINGS } from "./tls-settings.ts";
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
    meaning: "Where the gateway serves the API as JSON over HTTP, and `/healthz`.",
  }),
  metricsListen: setting({
    variable: "NEBULA_METRICS_LISTEN",
    parse: parseListenAddressOrOff,
    fallback: { host: "127.0.0.1", port: 9464 },
    defaultText: "127.0.0.1:9464; worker: off",
    parts: [...SERVER, "worker"],
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
    meaning: "host:port that workers are told to dial.",
  }),
  shard: setting({
    variable: "NEBULA_SHARD",
    parse: orUndefined(parseShardName),
    fallback: undefined,
    defaultText: "host name and port",
    parts: ["manager"],
    meaning: "The shard's name, which stays the same after a restart. It ranks the shards of a cluster; in this version a cluster has one.",
  }),
  managers: setting({
    variable: "NEBULA_MANAGERS",
    parse: parseManagers,
    fallback: [],
    defaultText: "NEBULA_GRPC_LISTEN",
    parts: ["gateway"],
    meaning:
      "The managers that a gateway calls, `grpc://a:50051,b:50051`; a call goes to any that is up. Managers of this version share no store, so a cluster has one.",
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
    parse: driverUrl(["sqlite:"], ["cassandra://"], "sqlite: (in NEBULA_DATA)"),
    fallback: "sqlite:",
    defaultText: "sqlite: (in NEBULA_DATA)",
    parts: [...SERVER, "migrate", "backup"],
    meaning: "Where apps, cron_jobs and device_groups are kept; `sqlite:` is the only driver in this version.",
  }),
  reports: setting({
    variable: "NEBULA_REPORTS",
    parse: orUndefined(driverUrl(["sqlite:"], ["cassandra://"], "sqlite: (in NEBULA_DATA)")),
    fallback: undefined,
    defaultText: "as NEBULA_STORE",
    parts: ["manager", "reporter", "migrate", "backup"],
    meaning: "Where the devices' reports are kept; `sqlite:` is the only driver in this version.",
  }),
  redis: setting({
    variable: "NEBULA_REDIS",
    parse: driverUrl(["memory:"], ["redis://", "rediss://", "redis-sentinel://", "redis-cluster://"], "memory:"),
    fallback: "memory:",
    defaultText: "memory:",
    parts: [...SERVER, "migrate"],
    meaning: "Cache, change feed and membership of the managers; `memory:` serves one process, and is the only driver in this version.",
  }),
  bus: setting({
    variable: "NEBULA_BUS",
    aliases: [kafkaAddress],
    parse: driverUrl(["memory:"], ["kafka://"], "memory:"),
    fallback: "memory:",
    defaultText: "memory:",
    parts: ["manager", "reporter", "migrate"],
    meaning: "How reports get from the managers to the reporter; `memory:` serves one process, and is the only driver in this version.",
  }),
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
    parts: ["manager"],
    meaning: "How long the audit log keeps its entries: who changed what, and who was refused.",
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
    meaning: "debug, info, warn or error; the log goes to standard error, one JSON object a line, whose `level` is one of these words.",
  }),
};

/** The settings as a list, in the order of the table. */
export const ALL_SETTINGS: readonly Setting<unknown>[] = Object.values(SETTINGS);

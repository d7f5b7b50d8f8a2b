import { kafkaAddress, managerAddress, reportOnUpdateOnly } from "./older-names.ts";
import { driverUrl } from "./parse-driver-url.ts";
import { durationBetween, knownDuration } from "./parse-duration.ts";
import { parseListenAddress, parseListenAddressOrOff } from "./parse-listen-address.ts";
import { parseManagers, parseServerUrl } from "./parse-server-url.ts";
import { oneOf, parseBool, parseDeviceId, parseHostAndPort, parseName, parseText, textOfAtLeast, wholeNumber } from "./parse-word.ts";
import { orUndefined, type Parser, value } from "./parsed.ts";
import { inSeconds, type Part, renamed, type Setting } from "./setting.ts";

type Given<T> = Pick<Setting<T>, "variable" | "parse" | "defaultText" | "parts" | "meaning"> &
  Partial<Pick<Setting<T>, "flag" | "aliases" | "switch">> & { fallback: NoInfer<T> };

/** The flag is the variable's name as a flag, unless another is given. */
function setting<T>(given: Given<T>): Setting<T> {
  const flag = given.variable.slice("NEBULA_".length).toLowerCase().replaceAll("_", "-");
  return { flag, aliases: [], switch: false, secret: false, ...given };
}

/** A setting that `ps` must not show: its flag, where it has one, names a file. */
function secret<T>(given: Given<T>): Setting<T> {
  return { flag: undefined, aliases: [], switch: false, ...given, secret: true };
}

function toggle(given: Omit<Given<boolean>, "parse">): Setting<boolean> {
  return setting({ ...given, parse: parseBool, switch: true });
}

const reportInterval: Parser<number> = (text) => (text === "off" ? value(Number.POSITIVE_INFINITY) : durationBetween("1m", "30d")(text));

const EVERY: readonly Part[] = ["manager", "gateway", "reporter", "worker", "migrate", "backup"];
const SERVER: readonly Part[] = ["manager", "gateway", "reporter"];

/** Every setting of every part: the one place that says how it is called, what it may be, and what it means. docs/settings.md is made from it. */
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
      "Where `/metrics`, `/healthz` and `/readyz` are served, without a login; `off`: nowhere. The default address being taken is one warning, a given one being taken ends the start.",
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
  managers: setting({
    variable: "NEBULA_MANAGERS",
    parse: parseManagers,
    fallback: [],
    defaultText: "NEBULA_GRPC_LISTEN",
    parts: ["gateway"],
    meaning: "The gateway's managers, `grpc://a:50051,b:50051`; a call goes to any that is up.",
  }),
  redirect: toggle({
    variable: "NEBULA_REDIRECT",
    fallback: true,
    defaultText: "on",
    parts: ["manager"],
    meaning: "Off: a manager serves the watches of any device_group (for one load balancer in front of all).",
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
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "made at the first start (sqlite only)",
    parts: ["manager"],
    meaning: "The local admin's password. A generated one is kept in NEBULA_DATA and printed once, to a terminal only.",
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
    parse: driverUrl(["sqlite:"], ["cassandra://"], "sqlite: (in NEBULA_DATA), or cassandra://host:9042,host2:9042/keyspace?dc=datacenter1&user=..."),
    fallback: "sqlite:",
    defaultText: "sqlite: (in NEBULA_DATA)",
    parts: [...SERVER, "migrate", "backup"],
    meaning: "Where apps, cron_jobs and device_groups are kept.",
  }),
  reports: setting({
    variable: "NEBULA_REPORTS",
    parse: orUndefined(
      driverUrl(["sqlite:"], ["cassandra://"], "sqlite: (in NEBULA_DATA), or cassandra://host:9042/keyspace?dc=datacenter1&user=..."),
    ),
    fallback: undefined,
    defaultText: "as NEBULA_STORE",
    parts: ["manager", "reporter", "backup"],
    meaning: "Where the devices' reports are kept.",
  }),
  redis: setting({
    variable: "NEBULA_REDIS",
    parse: driverUrl(["memory:"], ["redis://", "rediss://", "redis-sentinel://", "redis-cluster://"], "memory: (one process), or redis://host:6379"),
    fallback: "memory:",
    defaultText: "memory:",
    parts: SERVER,
    meaning: "Cache, change feed and membership of the managers; `memory:` serves one process.",
  }),
  bus: setting({
    variable: "NEBULA_BUS",
    aliases: [kafkaAddress],
    parse: driverUrl(["memory:"], ["kafka://"], "memory: (one process), or kafka://host:9092,host2:9092/nebula-reports"),
    fallback: "memory:",
    defaultText: "memory:",
    parts: ["manager", "reporter"],
    meaning: "How reports get from the managers to the reporter; `memory:` serves one process.",
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
  server: setting({
    variable: "NEBULA_SERVER",
    aliases: [managerAddress],
    parse: parseServerUrl,
    fallback: { protocol: "http", host: "127.0.0.1", port: 8080 },
    defaultText: "http://127.0.0.1:8080",
    parts: ["worker"],
    meaning: "A gateway (`http(s)://`, which the worker asks for the managers) or a manager (`grpc(s)://`). nebulactl reads it, too.",
  }),
  token: secret({
    variable: "NEBULA_TOKEN",
    flag: "token-file",
    aliases: [renamed("NEBULA_MANAGER_AUTH_TOKEN")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "The token to log in with; it goes before user and password, and a worker's own device token before it.",
  }),
  user: setting({
    variable: "NEBULA_USER",
    aliases: [renamed("NEBULA_MANAGER_AUTH_USER")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "The user to log in as, with NEBULA_PASSWORD.",
  }),
  password: secret({
    variable: "NEBULA_PASSWORD",
    flag: "password-file",
    aliases: [renamed("NEBULA_MANAGER_AUTH_PASSWORD")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "The password of NEBULA_USER.",
  }),
  enrollToken: secret({
    variable: "NEBULA_ENROLL_TOKEN",
    flag: "enroll-token-file",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "An enrolment token; used only while the worker has no confirmed device token.",
  }),
  tokenRotation: setting({
    variable: "NEBULA_TOKEN_ROTATION",
    parse: durationBetween("0s", "3650d"),
    fallback: knownDuration("30d"),
    defaultText: "30d",
    parts: ["worker"],
    meaning: "How long the device uses its own token before it exchanges it for a new one; `0s`: for ever.",
  }),
  deviceGroup: setting({
    variable: "NEBULA_DEVICE_GROUP",
    aliases: [renamed("DEVICE_GROUP")],
    parse: orUndefined(parseName),
    fallback: undefined,
    defaultText: "that of the device's own token; without one a worker needs it",
    parts: ["worker"],
    meaning: "The device_group that the device belongs to.",
  }),
  deviceId: setting({
    variable: "NEBULA_DEVICE_ID",
    parse: orUndefined(parseDeviceId),
    fallback: undefined,
    defaultText: "made at the first start from the engine's host name, kept in NEBULA_WORKER_DATA",
    parts: ["worker"],
    meaning: "The device's name; no two devices have the same.",
  }),
  instance: setting({
    variable: "NEBULA_INSTANCE",
    parse: parseName,
    fallback: "main",
    defaultText: "main",
    parts: ["worker"],
    meaning: "Keeps several workers on one engine apart: a worker touches only containers of its own instance.",
  }),
  keepalive: setting({
    variable: "NEBULA_KEEPALIVE",
    parse: durationBetween("10s", "30m"),
    fallback: knownDuration("5m"),
    defaultText: "5m",
    parts: ["worker"],
    meaning: "How often the worker pings on its connection, 10s to 30m.",
  }),
  reportInterval: setting({
    variable: "NEBULA_REPORT_INTERVAL",
    aliases: [reportOnUpdateOnly],
    parse: reportInterval,
    fallback: knownDuration("12h"),
    defaultText: "12h",
    parts: ["worker", "reporter"],
    meaning: "How often a worker reports while nothing changes; `off`: never. The reporter only checks NEBULA_REPORT_TTL against it.",
  }),
  reportTtl: setting({
    variable: "NEBULA_REPORT_TTL",
    parse: durationBetween("2m", "3650d"),
    fallback: knownDuration("26h"),
    defaultText: "26h",
    parts: ["reporter"],
    meaning: "How long the history of reports is kept; at least twice NEBULA_REPORT_INTERVAL.",
  }),
  runtime: setting({
    variable: "NEBULA_RUNTIME",
    parse: driverUrl(["simulated:"], ["docker://", "simulated:?"], "docker:///var/run/docker.sock, docker://host:port, or simulated:"),
    fallback: "docker:///var/run/docker.sock",
    defaultText: "docker:///var/run/docker.sock",
    parts: ["worker"],
    meaning: "The engine that runs the containers; `simulated:` only pretends.",
  }),
  adopt: toggle({
    variable: "NEBULA_ADOPT",
    fallback: true,
    defaultText: "true",
    parts: ["worker"],
    meaning: "Whether a worker of instance main takes over the containers of a worker of v2.",
  }),
  keepImages: setting({
    variable: "NEBULA_KEEP_IMAGES",
    parse: wholeNumber(0, 1000),
    fallback: 1,
    defaultText: "1",
    parts: ["worker"],
    meaning: "How many images of an app that an update replaced are kept.",
  }),
  maxRestartWait: setting({
    variable: "NEBULA_MAX_RESTART_WAIT",
    aliases: [inSeconds("MAX_RESTART_WAIT_IN_SECONDS")],
    parse: durationBetween("0s", "1d"),
    fallback: 0,
    defaultText: "0s",
    parts: ["worker"],
    meaning: "A pull after a change waits a random time up to this, which spares the registry.",
  }),
  workerData: setting({
    variable: "NEBULA_WORKER_DATA",
    flag: "data",
    parse: parseText,
    fallback: "./worker-data",
    defaultText: "./worker-data",
    parts: ["worker"],
    meaning: "The worker's folder: last good config, device id and token, what was pruned and adopted.",
  }),
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
  tlsCert: setting({
    variable: "NEBULA_TLS_CERT",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none: clear text",
    parts: ["manager", "gateway"],
    meaning: "PEM file of the server's certificate, with its intermediates: gRPC and HTTP then speak TLS alone. Read again when it changes.",
  }),
  tlsKey: setting({
    variable: "NEBULA_TLS_KEY",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["manager", "gateway"],
    meaning: "PEM file of the private key of NEBULA_TLS_CERT.",
  }),
  tlsClientCa: setting({
    variable: "NEBULA_TLS_CLIENT_CA",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["manager", "gateway"],
    meaning: "PEM file of the authorities whose client certificates are taken.",
  }),
  tlsClientAuth: setting({
    variable: "NEBULA_TLS_CLIENT_AUTH",
    parse: orUndefined(oneOf("off", "optional", "required")),
    fallback: undefined,
    defaultText: "required with NEBULA_TLS_CLIENT_CA, else off",
    parts: ["manager", "gateway"],
    meaning: "Whether clients show a certificate. `optional`: none will do, a wrong one will not. It comes before the login, and replaces none.",
  }),
  tlsCa: setting({
    variable: "NEBULA_TLS_CA",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "those of the system",
    parts: ["gateway", "worker"],
    meaning: "PEM file of the authorities that a server's certificate has to be of (`https://`, `grpcs://`). nebulactl reads it, too.",
  }),
  tlsClientCert: setting({
    variable: "NEBULA_TLS_CLIENT_CERT",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["gateway", "worker"],
    meaning: "PEM file of the certificate to show to a server that asks for one. nebulactl reads it, too.",
  }),
  tlsClientKey: setting({
    variable: "NEBULA_TLS_CLIENT_KEY",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["gateway", "worker"],
    meaning: "PEM file of the private key of NEBULA_TLS_CLIENT_CERT.",
  }),
  grpcConnections: setting({
    variable: "NEBULA_GRPC_CONNECTIONS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 1_000_000,
    defaultText: "1000000, or what the limit of open files leaves",
    parts: ["manager"],
    meaning: "Open gRPC connections in all; one more is closed at once.",
  }),
  grpcConnectionsPerAddress: setting({
    variable: "NEBULA_GRPC_CONNECTIONS_PER_ADDRESS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 5000,
    defaultText: "5000",
    parts: ["manager"],
    meaning: "Open gRPC connections of one IPv4 address or IPv6 /64; loopback is not counted. Raise it where a load balancer stands in front.",
  }),
  httpConnections: setting({
    variable: "NEBULA_HTTP_CONNECTIONS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 10_000,
    defaultText: "10000, or what the limit of open files leaves",
    parts: ["gateway"],
    meaning: "Open HTTP connections in all; one more is closed at once.",
  }),
  httpConnectionsPerAddress: setting({
    variable: "NEBULA_HTTP_CONNECTIONS_PER_ADDRESS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 1000,
    defaultText: "1000",
    parts: ["gateway"],
    meaning: "Open HTTP connections of one IPv4 address or IPv6 /64; loopback is not counted. Raise it where a load balancer stands in front.",
  }),
  logLevel: setting({
    variable: "NEBULA_LOG_LEVEL",
    parse: oneOf("debug", "info", "warn", "error"),
    fallback: "info",
    defaultText: "info",
    parts: EVERY,
    meaning: "debug, info, warn or error; the log goes to standard error, one JSON object a line.",
  }),
};

/** The settings as a list, in the order of the table. */
export const ALL_SETTINGS: readonly Setting<unknown>[] = Object.values(SETTINGS);

import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { RedisTarget } from "./redis-url.ts";

/** How a Redis is logged in to. */
export type RedisLogin = Readonly<{
  password: string | undefined;
  /** The authorities that its certificate has to be of, PEM; undefined: those that come with Node. */
  ca: string | undefined;
}>;

type Options = RedisOptions & { replyMapping: "legacy" };

/** How long a command waits for its answer, milliseconds. */
export const COMMAND_MS = 1000;
/**
 * A connection with commands in flight that is silent for as long is closed, milliseconds: it may be half-open, and all
 * that it waits for is given up.
 */
const SILENT_MS = 1500;
const CONNECT_MS = 2000;
/** How long a connection that is closed may wait for the other side to close it too, milliseconds. */
const DISCONNECT_MS = 200;

/**
 * Between two tries to connect, milliseconds: at most a second, and other for each process, so that a fleet of shards
 * does not come at once.
 */
export function reconnectMs(): number {
  return 100 + Math.floor(Math.random() * 900);
}

/**
 * Options of every connection. A command that cannot be sent at once fails at once, and is never sent again: hints are
 * not worth a queue. The protocol is RESP2, which every Redis and its relatives speak: nothing here needs more.
 */
function commonOptions({ user, password, database, tls }: RedisTarget, login: RedisLogin): Options {
  const secret = login.password ?? password;
  return {
    protocol: 2,
    replyMapping: "legacy",
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 1,
    reconnectOnError: ({ message }) => message.startsWith("READONLY"), // the master is another one now
    commandTimeout: COMMAND_MS,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: DISCONNECT_MS,
    connectionName: "nebula",
    disableClientInfo: true,
    db: database,
    ...(user === undefined ? {} : { username: user }),
    ...(secret === undefined ? {} : { password: secret }),
    ...(tls ? { tls: login.ca === undefined ? {} : { ca: login.ca } } : {}),
  };
}

function optionsOf(target: RedisTarget, login: RedisLogin, node: number): Options {
  const common = commonOptions(target, login);
  if (target.mode !== "sentinel") return { ...common, ...target.nodes[node % target.nodes.length] };
  const { username, password } = common;
  return {
    ...common,
    sentinels: target.nodes.map((sentinel) => ({ ...sentinel })),
    name: target.master,
    sentinelCommandTimeout: COMMAND_MS,
    sentinelRetryStrategy: reconnectMs,
    enableTLSForSentinelMode: target.tls,
    ...(common.tls === undefined ? {} : { sentinelTLS: common.tls }),
    ...(target.sentinelLogin && username !== undefined ? { sentinelUsername: username } : {}),
    ...(target.sentinelLogin && password !== undefined ? { sentinelPassword: password } : {}),
  };
}

/** The connection for commands: it connects again by itself, until it is closed. */
export function connectCommands(target: RedisTarget, login: RedisLogin): Redis | Cluster {
  if (target.mode !== "cluster") return new Redis({ ...optionsOf(target, login, 0), socketTimeout: SILENT_MS, retryStrategy: reconnectMs });
  const nodes = target.nodes.map((node) => ({ ...node }));
  return new Cluster(nodes, {
    redisOptions: { ...commonOptions(target, login), socketTimeout: SILENT_MS },
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: reconnectMs,
    slotsRefreshTimeout: COMMAND_MS,
    slotsRefreshInterval: 5000,
    maxRedirections: 4,
    ...(target.tls ? { dnsLookup: (address, callback) => callback(null, address) } : {}), // certificates are for names
  });
}

/**
 * One connection for subscriptions, which never connects again: who opened it opens another. Any node of a cluster
 * delivers what is published on another.
 * @param attempt the next one of several nodes, with each attempt
 */
export function connectSubscriptions(target: RedisTarget, login: RedisLogin, attempt: number): Redis {
  return new Redis({ ...optionsOf(target, login, attempt), retryStrategy: () => null });
}

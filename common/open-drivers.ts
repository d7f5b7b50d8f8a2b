import { join } from "node:path";
import { Registry } from "prom-client";
import { createMemoryLoginCounts } from "./access/login-counts.ts";
import { createMemoryBus } from "./bus/memory-bus.ts";
import type { Clock } from "./clock/clock.ts";
import type { Drivers } from "./drivers.ts";
import { endedWithin } from "./ended-within.ts";
import { NebulaError } from "./errors/nebula-error.ts";
import { createMemoryFeed } from "./feed/memory-feed.ts";
import { NEXT_CLUSTER_KEY, SECRET_FILES } from "./keys/key-files.ts";
import type { Log } from "./log/log.ts";
import { makeFolder } from "./make-folder.ts";
import { createMemoryMembership } from "./membership/memory-membership.ts";
import { createHintMetrics, type HintMetrics } from "./metrics/hint-metrics.ts";
import { warnOfOpenModes } from "./open-modes.ts";
import type { OpenedRedis } from "./redis/open-redis.ts";
import type { BackendLogin, Settings } from "./settings/settings.ts";
import type { CassandraClient } from "./storage/cassandra/connection/client.ts";
import type { StoreMetrics } from "./storage/cassandra/connection/store-metrics.ts";
import { assertFinished, type ClusterIdentity } from "./storage/config-store.ts";
import { createMemoryConfigCache } from "./storage/memory/config-cache.ts";
import { openSqliteAccessStore } from "./storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "./storage/sqlite/config-store.ts";
import { lockFolder } from "./storage/sqlite/folder-lock.ts";
import { openSqliteReportStore } from "./storage/sqlite/reports/report-store.ts";
import { createMemoryPolledMarks } from "./v2/polled-marks.ts";

/** Files of the embedded stores, in the data folder. */
export const CONFIG_DATABASE = "nebula.db";
export const ACCESS_DATABASE = "access.db";
export const REPORT_DATABASE = "reports.db";

/** The longest that a close of all drivers takes, milliseconds. */
const CLOSE_MS = 6000;

export type DriverSettings = Pick<Settings, "dataDir" | "store" | "reports" | "redis" | "bus" | "cacheTimeMs" | "reportTtlMs"> &
  Partial<Pick<Settings, "backends" | "auditRetentionMs">>;

export type OpenDriversOptions = Readonly<{
  settings: DriverSettings;
  clock: Clock;
  log: Log;
  registry?: Registry;
  /** The key that the parts of this cluster share; asked for only where a driver seals with it. */
  clusterKey?: () => Promise<string>;
  /** Ends the wait for a backend that is absent. */
  signal?: AbortSignal;
  /** Each backend that is waited for, one sentence; for /readyz. */
  waitingFor?: Set<string>;
  /** Whether a config store may hold a part of what is moved to it. */
  unfinished?: boolean;
}>;

/** The arguments that a driver is opened with. */
export type DriverContext = Required<OpenDriversOptions> &
  Readonly<{
    url: string;
    login: BackendLogin;
    /** The client of the Cassandra that the URL names: the drivers of one URL share it, and its bounds. */
    cassandra: () => Promise<CassandraClient>;
    /** The connection to the Redis that the URL names, which all drivers on it share. */
    redis: () => Promise<OpenedRedis>;
    hintMetrics: HintMetrics;
  }>;

/** The drivers of these names, and the one way to close them all. */
export type OpenedDrivers<Name extends keyof Drivers = keyof Drivers> = Pick<Drivers, Name> & AsyncDisposable;

/** The drivers that each component uses, and so opens: no component waits for a backend that it does not need. */
export const MANAGER_DRIVERS = [
  "configStore",
  "accessStore",
  "reportStore",
  "configCache",
  "reportBus",
  "changeFeed",
  "membership",
  "loginCounts",
  "polledMarks",
] as const;
export const GATEWAY_DRIVERS = ["changeFeed"] as const;
/** A reporter opens the config store for its identity and its marks alone: no report goes to a store that holds a part of a cluster. */
export const REPORTER_DRIVERS = ["configStore", "accessStore", "reportStore", "reportBus", "changeFeed"] as const;
export const STORES = ["configStore", "accessStore", "reportStore"] as const;

type Source<Driver> = Readonly<{
  /** The setting that names the driver by URL. */
  setting: string;
  key: "store" | "reports" | "redis" | "bus";
  /** Opens the driver, by the scheme of the URL; the first one is the embedded driver's. The modules of another scheme are loaded only for it. */
  open: Readonly<Record<string, (context: DriverContext) => Promise<Driver>>>;
}>;

/** The same driver for each scheme of Redis. */
function onRedis<Driver>(open: (context: DriverContext) => Promise<Driver>): Source<Driver>["open"] {
  return { "redis:": open, "rediss:": open, "redis-sentinel:": open, "redis-cluster:": open };
}

const SOURCES: { readonly [Name in keyof Drivers]: Source<Drivers[Name]> } = {
  configStore: {
    setting: "NEBULA_STORE",
    key: "store",
    open: {
      "sqlite:": ({ settings }) => openSqliteConfigStore({ path: join(settings.dataDir, CONFIG_DATABASE) }),
      "cassandra:": async ({ cassandra, clock, signal }) =>
        (await import("./storage/cassandra/entities/config-store.ts")).openCassandraConfigStore({ client: await cassandra(), clock }, signal),
    },
  },
  accessStore: {
    setting: "NEBULA_STORE",
    key: "store",
    open: {
      "sqlite:": ({ settings }) => openSqliteAccessStore({ path: join(settings.dataDir, ACCESS_DATABASE) }),
      "cassandra:": async ({ settings: { auditRetentionMs = Number.POSITIVE_INFINITY }, clock, cassandra }) => {
        const [{ createCassandraAccessStore }, client] = await Promise.all([import("./storage/cassandra/access/access-store.ts"), cassandra()]);
        return createCassandraAccessStore({ client, clock, auditRetentionMs });
      },
    },
  },
  reportStore: {
    setting: "NEBULA_REPORTS",
    key: "reports",
    open: {
      "sqlite:": ({ settings: { dataDir, store } }) => {
        const accessPath = store.startsWith("sqlite:") ? { accessPath: join(dataDir, ACCESS_DATABASE) } : {};
        return openSqliteReportStore({ path: join(dataDir, REPORT_DATABASE), ...accessPath });
      },
      "cassandra:": async ({ settings: { reportTtlMs }, clock, cassandra }) => {
        const [{ createCassandraReportStore }, client] = await Promise.all([import("./storage/cassandra/reports/report-store.ts"), cassandra()]);
        return createCassandraReportStore({ client, reportTtlMs, clock });
      },
    },
  },
  configCache: {
    setting: "NEBULA_REDIS",
    key: "redis",
    open: {
      "memory:": async ({ settings, clock }) => createMemoryConfigCache({ ttlMs: settings.cacheTimeMs, clock }),
      ...onRedis(async ({ settings, redis }) => (await redis()).configCache(settings.cacheTimeMs)),
    },
  },
  changeFeed: {
    setting: "NEBULA_REDIS",
    key: "redis",
    open: {
      "memory:": async ({ log, hintMetrics }) => createMemoryFeed({ log, metrics: hintMetrics }),
      ...onRedis(async ({ redis }) => (await redis()).changeFeed()),
    },
  },
  membership: {
    setting: "NEBULA_REDIS",
    key: "redis",
    open: {
      "memory:": async () => createMemoryMembership(),
      ...onRedis(async ({ redis }) => (await redis()).membership()),
    },
  },
  loginCounts: {
    setting: "NEBULA_REDIS",
    key: "redis",
    open: {
      "memory:": async () => createMemoryLoginCounts(),
      ...onRedis(async ({ redis }) => (await redis()).loginCounts()),
    },
  },
  polledMarks: {
    setting: "NEBULA_REDIS",
    key: "redis",
    open: {
      "memory:": async () => createMemoryPolledMarks(),
      ...onRedis(async ({ redis }) => (await redis()).polledMarks()),
    },
  },
  reportBus: {
    setting: "NEBULA_BUS",
    key: "bus",
    open: {
      "memory:": async ({ clock }) => createMemoryBus({ clock }),
      "kafka:": async (context) => (await import("./bus/kafka/kafka-bus.ts")).openReportBus(context),
    },
  },
};

/** Schemes whose URL is the scheme alone. */
const EMBEDDED = ["sqlite:", "memory:"];

/**
 * Opens the drivers of these names, as the settings name them by URL, and no other. The data folder is made and locked only where one of them keeps files there.
 * @throws NebulaError invalid_argument for a URL that no driver serves; failed_precondition when another process has the data folder, or when a move to the
 *   store did not end
 */
export async function openDrivers<Name extends keyof Drivers>(names: readonly Name[], options: OpenDriversOptions): Promise<OpenedDrivers<Name>> {
  const { settings } = options;
  for (const name of names) requireDriver(SOURCES[name], settings[SOURCES[name].key]);

  await using opening = new AsyncDisposableStack();
  const keepsFiles = names.some((name) => settings[SOURCES[name].key].startsWith("sqlite:"));
  if (keepsFiles) {
    await makeFolder("NEBULA_DATA", settings.dataDir);
    opening.use(lockFolder(settings.dataDir));
  }
  const { signal = new AbortController().signal, waitingFor = new Set<string>(), registry = new Registry() } = options;
  const clusterKey = options.clusterKey ?? (() => Promise.reject(new NebulaError("internal", "drivers on Redis were opened without a cluster key")));
  const { unfinished = false } = options;
  const given = { ...options, signal, waitingFor, registry, clusterKey, unfinished };
  const hintMetrics = createHintMetrics(registry);
  const clients = new CassandraClients(given, opening);
  let redis: Promise<OpenedRedis> | undefined;
  /** The hints of any other component are of every epoch: it does not end at a restore. */
  const readsEntities = names.some((name) => name === "configCache");
  const drivers: { -readonly [Each in keyof Drivers]?: Drivers[Each] } = {};
  for (const name of names) {
    const { key, setting, open } = SOURCES[name];
    const url = settings[key];
    const login = settings.backends?.[key] ?? NO_LOGIN;
    const context: DriverContext = {
      ...given,
      url,
      login,
      hintMetrics,
      cassandra: () => clients.of(setting, url, login),
      redis: () => {
        const cluster = readsEntities ? drivers.configStore?.cluster : undefined;
        redis ??= openRedisFor({ ...given, url, setting, login, hintMetrics, cluster }, opening);
        return redis;
      },
    };
    const opener: ((context: DriverContext) => Promise<Drivers[Name]>) | undefined = open[schemeOf(url)];
    if (opener !== undefined) drivers[name] = opening.use(await opener(context));
    if (name === "configStore" && drivers.configStore !== undefined && !unfinished) assertFinished(drivers.configStore.cluster);
  }
  requireAll(names, drivers);
  const files = [CONFIG_DATABASE, ACCESS_DATABASE, REPORT_DATABASE, ...Object.values(SECRET_FILES), NEXT_CLUSTER_KEY];
  if (keepsFiles) await warnOfOpenModes(settings.dataDir, files, options.log);
  const opened = opening.move();
  return {
    ...drivers,
    async [Symbol.asyncDispose]() {
      if (!(await endedWithin(opened.disposeAsync(), CLOSE_MS))) options.log.warn({ limitMs: CLOSE_MS }, "the drivers did not close in time");
    },
  };
}

const NO_LOGIN: BackendLogin = { password: undefined, ca: undefined };

type RedisContext = Required<OpenDriversOptions> & Readonly<{ url: string; setting: string; login: BackendLogin; hintMetrics: HintMetrics }>;

/** Opens the connection, which is closed after the drivers that use it. */
async function openRedisFor(context: RedisContext & { cluster: ClusterIdentity | undefined }, opening: AsyncDisposableStack): Promise<OpenedRedis> {
  const { login, hintMetrics, clusterKey } = context;
  const { openRedis } = await import("./redis/open-redis.ts");
  return opening.use(await openRedis({ ...context, ...login, metrics: hintMetrics, clusterKey: await clusterKey() }));
}

/** One client for each URL; they are closed after the drivers that use them. */
class CassandraClients {
  readonly #options: Required<OpenDriversOptions>;
  readonly #opening: AsyncDisposableStack;
  readonly #clients = new Map<string, CassandraClient>();
  #metrics: StoreMetrics | undefined;

  constructor(options: Required<OpenDriversOptions>, opening: AsyncDisposableStack) {
    this.#options = options;
    this.#opening = opening;
  }

  async of(setting: string, url: string, login: BackendLogin): Promise<CassandraClient> {
    const known = this.#clients.get(url);
    if (known !== undefined) return known;
    const [{ openCassandra }, { createStoreMetrics }] = await Promise.all([
      import("./storage/cassandra/open-cassandra.ts"),
      import("./storage/cassandra/connection/store-metrics.ts"),
    ]);
    this.#metrics ??= createStoreMetrics(this.#options.registry);
    const client = this.#opening.use(await openCassandra({ ...this.#options, ...login, setting, url, metrics: this.#metrics }));
    this.#clients.set(url, client);
    return client;
  }
}

function requireAll<Name extends keyof Drivers>(
  names: readonly Name[],
  drivers: Partial<Drivers>,
): asserts drivers is Partial<Drivers> & Pick<Drivers, Name> {
  for (const name of names) if (drivers[name] === undefined) throw new NebulaError("internal", `the driver ${name} was not opened`);
}

/** The embedded drivers take nothing behind their scheme: where the files are is for NEBULA_DATA to say. A URL of another may carry a password: not shown. */
function requireDriver({ setting, open }: Source<unknown>, url: string): void {
  const scheme = schemeOf(url);
  if (open[scheme] === undefined) {
    const known = Object.keys(open).map((each) => (EMBEDDED.includes(each) ? each : `${each}//`));
    throw new NebulaError("invalid_argument", `${setting}: this version has no driver for ${scheme || "it"}; use ${known.join(" or ")}`);
  }
  if (EMBEDDED.includes(scheme) && url !== scheme) {
    throw new NebulaError("invalid_argument", `${setting}: ${scheme} stands alone; the data folder is NEBULA_DATA`);
  }
}

function schemeOf(url: string): string {
  return url.slice(0, url.indexOf(":") + 1);
}

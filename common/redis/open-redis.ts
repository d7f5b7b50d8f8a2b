import { readFile } from "node:fs/promises";
import type { LoginCounts } from "../access/login-counts.ts";
import type { Clock } from "../clock/clock.ts";
import { NebulaError } from "../errors/nebula-error.ts";
import { systemReason } from "../errors/system-reason.ts";
import type { ChangeFeed } from "../feed/change-feed.ts";
import type { Log } from "../log/log.ts";
import { LeaseMembership } from "../membership/lease-membership.ts";
import type { Membership } from "../membership/membership.ts";
import type { HintMetrics } from "../metrics/hint-metrics.ts";
import type { ConfigCache } from "../storage/config-cache.ts";
import type { ClusterIdentity } from "../storage/config-store.ts";
import type { PolledMarks } from "../v2/polled-marks.ts";
import { Commands } from "./commands.ts";
import { connectCommands, connectSubscriptions } from "./connections.ts";
import { HintSeal } from "./hint-seal.ts";
import { createRedisConfigCache } from "./redis-config-cache.ts";
import { openRedisFeed } from "./redis-feed.ts";
import { createRedisLeases } from "./redis-leases.ts";
import { createRedisLoginCounts } from "./redis-login-counts.ts";
import { createRedisPolledMarks } from "./redis-polled-marks.ts";
import { describeTarget, parseRedisUrl } from "./redis-url.ts";

/** How long a start waits for Redis before it continues without, milliseconds. */
const START_MS = 2000;

export type OpenRedisOptions = Readonly<{
  /** The setting that gives the URL, for messages. */
  setting: string;
  url: string;
  password: string | undefined;
  /** PEM file of the authorities of the servers' certificates. */
  ca: string | undefined;
  clusterKey: string;
  /** The store's; undefined: this process does not read it. */
  cluster: ClusterIdentity | undefined;
  clock: Clock;
  log: Log;
  metrics: HintMetrics;
}>;

/** One Redis, and what is opened on it; each of these is closed before it. */
export type OpenedRedis = AsyncDisposable &
  Readonly<{
    configCache: (ttlMs: number) => ConfigCache;
    changeFeed: () => Promise<ChangeFeed>;
    membership: () => Membership;
    loginCounts: () => LoginCounts;
    polledMarks: () => PolledMarks;
  }>;

/**
 * Connects to Redis. A server that does not answer stops no start: the connection is made when it answers.
 * @throws NebulaError invalid_argument for the URL; failed_precondition where the login is refused, or the file of
 * authorities can't be read
 */
export async function openRedis({ setting, url, password, ca, clusterKey, cluster, clock, log, metrics }: OpenRedisOptions): Promise<OpenedRedis> {
  const target = parseRedisUrl(setting, url);
  const login = { password, ca: ca === undefined ? undefined : await readCa(setting, ca) };
  const seal = new HintSeal(clusterKey, cluster);
  await using opening = new AsyncDisposableStack();
  const commands = opening.use(new Commands({ client: connectCommands(target, login), target, log }));
  const { ready, refusal } = await commands.opened(START_MS);
  if (refusal !== undefined) {
    const user = target.user === undefined ? "" : ` of user "${target.user}"`;
    throw new NebulaError("failed_precondition", `${setting}: Redis refuses the login${user} (${refusal}): check the URL, and ${setting}_PASSWORD`);
  }
  const where = describeTarget(target);
  if (ready) log.info({ redis: where, mode: target.mode, version: await versionOf(commands) }, "Redis answers");
  else log.warn({ redis: where }, "Redis does not answer: this process starts without, and uses it when it does");
  const opened = opening.move();
  return {
    configCache: (ttlMs) => createRedisConfigCache({ commands, seal, ttlMs, metrics }),
    changeFeed: () => openRedisFeed({ commands, connect: (attempt) => connectSubscriptions(target, login, attempt), seal, clock, log, metrics }),
    membership: () => new LeaseMembership({ table: createRedisLeases({ commands, seal, clock, metrics }), clock, log, metrics }),
    loginCounts: () => createRedisLoginCounts({ commands, prefix: seal.prefix, clusterKey, metrics }),
    polledMarks: () => createRedisPolledMarks({ commands, seal, metrics }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function versionOf(commands: Commands): Promise<string> {
  const info = await commands.run((client) => client.info("server")).catch(() => "");
  return /^(?:redis|valkey)_version:(\S+)/m.exec(info)?.[1] ?? "unknown";
}

async function readCa(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new NebulaError("failed_precondition", `${setting}_CA: ${path} can't be read: ${systemReason(error)}`, { cause: error });
  }
}

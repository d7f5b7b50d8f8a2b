import { join } from "node:path";
import { createMemoryBus } from "./bus/memory-bus.ts";
import type { Clock } from "./clock/clock.ts";
import type { Drivers } from "./drivers.ts";
import { NebulaError } from "./errors/nebula-error.ts";
import type { ChangeFeed } from "./feed/change-feed.ts";
import { createMemoryFeed } from "./feed/memory-feed.ts";
import type { Log } from "./log/log.ts";
import { makeFolder } from "./make-folder.ts";
import type { Member } from "./membership/membership.ts";
import { createMemoryMembership } from "./membership/memory-membership.ts";
import { warnOfOpenModes } from "./open-modes.ts";
import { NEXT_CLUSTER_KEY, SECRET_FILES } from "./settings/secrets.ts";
import type { Settings } from "./settings/settings.ts";
import { createMemoryConfigCache } from "./storage/memory/config-cache.ts";
import { openSqliteAccessStore } from "./storage/sqlite/access-store.ts";
import { openSqliteConfigStore } from "./storage/sqlite/config-store.ts";
import { lockFolder } from "./storage/sqlite/folder-lock.ts";
import { openSqliteReportStore } from "./storage/sqlite/report-store.ts";

/** Files of the embedded stores, in the data folder. */
export const CONFIG_DATABASE = "nebula.db";
export const ACCESS_DATABASE = "access.db";
export const REPORT_DATABASE = "reports.db";

export type DriverSettings = Pick<Settings, "dataDir" | "store" | "reports" | "redis" | "bus" | "cacheTimeMs">;

export type OpenDriversOptions = Readonly<{ settings: DriverSettings; self: Member; clock: Clock; log: Log }>;

/** Every driver, and the one way to close them all. */
export type OpenedDrivers = Drivers & AsyncDisposable;

/**
 * Opens what the settings name by URL.
 * @throws NebulaError invalid_argument for a URL that no driver serves; failed_precondition when another process has the data folder
 */
export async function openDrivers({ settings, self, clock, log }: OpenDriversOptions): Promise<OpenedDrivers> {
  requireScheme("NEBULA_STORE", settings.store, "sqlite:");
  requireScheme("NEBULA_REPORTS", settings.reports, "sqlite:");
  requireScheme("NEBULA_REDIS", settings.redis, "memory:");
  requireScheme("NEBULA_BUS", settings.bus, "memory:");

  await using opening = new AsyncDisposableStack();
  await makeFolder("NEBULA_DATA", settings.dataDir);
  opening.use(lockFolder(settings.dataDir));
  const drivers: Drivers = {
    configStore: opening.use(await openSqliteConfigStore({ path: join(settings.dataDir, CONFIG_DATABASE) })),
    accessStore: opening.use(await openSqliteAccessStore({ path: join(settings.dataDir, ACCESS_DATABASE) })),
    reportStore: opening.use(await openSqliteReportStore({ path: join(settings.dataDir, REPORT_DATABASE) })),
    configCache: opening.use(createMemoryConfigCache({ ttlMs: settings.cacheTimeMs, clock })),
    reportBus: opening.use(createMemoryBus({ clock })),
    changeFeed: opening.use(createMemoryFeed({ log })),
    membership: opening.use(createMemoryMembership(self)),
  };
  const files = [CONFIG_DATABASE, ACCESS_DATABASE, REPORT_DATABASE, ...Object.values(SECRET_FILES), NEXT_CLUSTER_KEY];
  await warnOfOpenModes(settings.dataDir, files, log);
  const opened = opening.move();
  return { ...drivers, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Opens the change feed alone, for a part that needs no other driver. @throws NebulaError invalid_argument for a URL that no driver serves */
export async function openChangeFeed({ settings, log }: { settings: Pick<Settings, "redis">; log: Log }): Promise<ChangeFeed> {
  requireScheme("NEBULA_REDIS", settings.redis, "memory:");
  return createMemoryFeed({ log });
}

/** The embedded drivers take nothing behind their scheme: where the files are is for NEBULA_DATA to say. A URL of another may carry a password: not shown. */
function requireScheme(setting: string, url: string, scheme: string): void {
  if (url === scheme) return;
  if (url.startsWith(scheme)) {
    throw new NebulaError("invalid_argument", `${setting}: ${scheme} stands alone; the data folder is NEBULA_DATA`);
  }
  const given = url.slice(0, url.indexOf(":") + 1) || "it";
  throw new NebulaError("invalid_argument", `${setting}: this version has no driver for ${given}; use ${scheme}`);
}

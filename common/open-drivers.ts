import { join } from "node:path";
import { createMemoryBus } from "./bus/memory-bus.ts";
import type { Clock } from "./clock/clock.ts";
import type { Drivers } from "./drivers.ts";
import { NebulaError } from "./errors/nebula-error.ts";
import { createMemoryFeed } from "./feed/memory-feed.ts";
import type { Log } from "./log/log.ts";
import { makeFolder } from "./make-folder.ts";
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

export type OpenDriversOptions = Readonly<{ settings: DriverSettings; clock: Clock; log: Log }>;

/** The drivers of these names, and the one way to close them all. */
export type OpenedDrivers<Name extends keyof Drivers = keyof Drivers> = Pick<Drivers, Name> & AsyncDisposable;

/** What each component uses, and so opens: no component waits for a backend that it does not need. */
export const MANAGER_DRIVERS = ["configStore", "accessStore", "reportStore", "configCache", "reportBus", "changeFeed", "membership"] as const;
export const GATEWAY_DRIVERS = ["changeFeed"] as const;
export const REPORTER_DRIVERS = ["accessStore", "reportStore", "reportBus", "changeFeed"] as const;
export const STORES = ["configStore", "accessStore", "reportStore"] as const;

/** Which setting names the driver by URL, and the scheme that is built in. */
const SOURCES = {
  configStore: { setting: "NEBULA_STORE", key: "store", scheme: "sqlite:" },
  accessStore: { setting: "NEBULA_STORE", key: "store", scheme: "sqlite:" },
  reportStore: { setting: "NEBULA_REPORTS", key: "reports", scheme: "sqlite:" },
  configCache: { setting: "NEBULA_REDIS", key: "redis", scheme: "memory:" },
  changeFeed: { setting: "NEBULA_REDIS", key: "redis", scheme: "memory:" },
  membership: { setting: "NEBULA_REDIS", key: "redis", scheme: "memory:" },
  reportBus: { setting: "NEBULA_BUS", key: "bus", scheme: "memory:" },
} as const satisfies { [Name in keyof Drivers]: { setting: string; key: keyof DriverSettings; scheme: string } };

const OPENERS: { readonly [Name in keyof Drivers]: (options: OpenDriversOptions) => Promise<Drivers[Name]> } = {
  configStore: ({ settings }) => openSqliteConfigStore({ path: join(settings.dataDir, CONFIG_DATABASE) }),
  accessStore: ({ settings }) => openSqliteAccessStore({ path: join(settings.dataDir, ACCESS_DATABASE) }),
  reportStore: ({ settings }) => openSqliteReportStore({ path: join(settings.dataDir, REPORT_DATABASE) }),
  configCache: async ({ settings, clock }) => createMemoryConfigCache({ ttlMs: settings.cacheTimeMs, clock }),
  reportBus: async ({ clock }) => createMemoryBus({ clock }),
  changeFeed: async ({ log }) => createMemoryFeed({ log }),
  membership: async () => createMemoryMembership(),
};

/**
 * Opens the drivers of these names, as the settings name them by URL, and no other. The data folder is made and locked only where one of them keeps files there.
 * @throws NebulaError invalid_argument for a URL that no driver serves; failed_precondition when another process has the data folder
 */
export async function openDrivers<Name extends keyof Drivers>(names: readonly Name[], options: OpenDriversOptions): Promise<OpenedDrivers<Name>> {
  const { settings } = options;
  for (const name of names) requireScheme(SOURCES[name].setting, settings[SOURCES[name].key], SOURCES[name].scheme);

  await using opening = new AsyncDisposableStack();
  const keepsFiles = names.some((name) => settings[SOURCES[name].key].startsWith("sqlite:"));
  if (keepsFiles) {
    await makeFolder("NEBULA_DATA", settings.dataDir);
    opening.use(lockFolder(settings.dataDir));
  }
  const drivers: { -readonly [Each in Name]?: Drivers[Each] } = {};
  for (const name of names) drivers[name] = opening.use(await OPENERS[name](options));
  requireAll(names, drivers);
  const files = [CONFIG_DATABASE, ACCESS_DATABASE, REPORT_DATABASE, ...Object.values(SECRET_FILES), NEXT_CLUSTER_KEY];
  if (keepsFiles) await warnOfOpenModes(settings.dataDir, files, options.log);
  const opened = opening.move();
  return { ...drivers, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

function requireAll<Name extends keyof Drivers>(
  names: readonly Name[],
  drivers: Partial<Pick<Drivers, Name>>,
): asserts drivers is Pick<Drivers, Name> {
  for (const name of names) if (drivers[name] === undefined) throw new NebulaError("internal", `the driver ${name} was not opened`);
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

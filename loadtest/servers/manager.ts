import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import { createLog } from "../../common/log/log.ts";
import { MANAGER_DRIVERS, openDrivers } from "../../common/open-drivers.ts";
import { startManager } from "../../manager/main.ts";
import { startReporter } from "../../reporter/main.ts";
import { BENCH_ADMIN_PASSWORD, BENCH_CLUSTER_KEY } from "./bench-secrets.ts";
import { countedStore } from "./counted-store.ts";

/** The manager under measurement, alone in its process, with a store of its own and authentication on; a reporter beside it takes what devices report. Run by the bench. */

const { NEBULA_BENCH_TOKEN: adminToken, NEBULA_BENCH_DATA: dataDir } = process.env;
if (adminToken === undefined || dataDir === undefined)
  throw new Error("NEBULA_BENCH_TOKEN and NEBULA_BENCH_DATA are what the bench starts this with");

const settings = {
  grpcListen: { host: "127.0.0.1", port: 0 },
  grpcAdvertise: undefined,
  redirect: true,
  dataDir,
  store: "sqlite:",
  reports: "sqlite:",
  redis: "memory:",
  bus: "memory:",
  cacheTimeMs: 10_000,
  auditRetentionMs: 90 * 86_400_000,
  maxDevicesPerGroup: 10_000_000,
  reportTtlMs: 26 * 3_600_000,
  authEnabled: true,
  admin: { user: "admin" },
};

process.on("disconnect", () => process.exit());

const log = createLog({ level: "warn", part: "manager" });
const common = { clock: systemClock, log, registry: new Registry() };
const opened = await openDrivers(MANAGER_DRIVERS, { settings, ...common });
const [configs, access] = [countedStore(opened.configStore), countedStore(opened.accessStore)];
const drivers = { ...opened, configStore: configs.store, accessStore: access.store };
process.on("message", (message: { kind: "count-store-calls" }) => {
  if (message.kind === "count-store-calls") process.send?.({ kind: "store-calls", count: configs.calls() + access.calls() });
});
await startReporter({ settings, drivers, ...common });
const { address } = await startManager({
  settings,
  secrets: { clusterKey: BENCH_CLUSTER_KEY, adminPassword: BENCH_ADMIN_PASSWORD, adminToken },
  drivers,
  ...common,
});
process.send?.({ kind: "ready", port: Number(address.slice(address.lastIndexOf(":") + 1)) });

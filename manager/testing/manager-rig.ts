import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import type { Clock } from "../../common/clock/clock.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import type { Drivers } from "../../common/drivers.ts";
import { createLog, type Log, silentLog } from "../../common/log/log.ts";
import { type DriverSettings, MANAGER_DRIVERS, openDrivers } from "../../common/open-drivers.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { type ManagerOptions, type ManagerSettings, type RunningManager, startManager } from "../main.ts";

export const TEST_SECRETS = { clusterKey: "cluster key of a test", adminPassword: "secret", adminToken: "token-of-a-test" };

/** The authorization header of the local admin. */
export const ADMIN = { authorization: `Basic ${Buffer.from("admin:secret").toString("base64")}` };

/** A whole manager, on the embedded drivers unless its settings name others. */
export type ManagerRig = AsyncDisposable &
  Readonly<{
    manager: RunningManager;
    drivers: Drivers;
    registry: Registry;
    port: number;
    /** The lines of the log, one JSON object each. */
    logged: readonly string[];
    channel(): GrpcChannel;
  }>;

export async function startManagerRig(
  options: {
    settings?: Partial<ManagerSettings & DriverSettings>;
    tuning?: ManagerOptions["tuning"];
    clock?: Clock;
    wrapDrivers?: (drivers: Drivers) => Drivers;
  } = {},
): Promise<ManagerRig> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "nebula-manager-"));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const settings = {
    grpcListen: { host: "127.0.0.1", port: 0 },
    grpcAdvertise: undefined,
    redirect: true,
    cacheTimeMs: 10_000,
    reportTtlMs: 93_600_000,
    auditRetentionMs: 90 * 86_400_000,
    maxDevicesPerGroup: 100_000,
    authEnabled: true,
    admin: { user: "admin" },
    dataDir,
    store: "sqlite:",
    reports: "sqlite:",
    redis: "memory:",
    bus: "memory:",
    ...options.settings,
  };
  const clock = options.clock ?? systemClock;
  const opened = stack.use(
    await openDrivers(MANAGER_DRIVERS, { settings, clock: systemClock, log: silentLog, clusterKey: async () => TEST_SECRETS.clusterKey }),
  );
  const drivers = options.wrapDrivers?.(opened) ?? opened;
  const logged: string[] = [];
  const log: Log = createLog({ level: "debug", part: "manager", destination: { write: (line: string) => void logged.push(line) } });
  const registry = new Registry();
  const manager = stack.use(
    await startManager({ settings, secrets: TEST_SECRETS, drivers, clock, log, registry, tuning: { stopMs: 2000, ...options.tuning } }),
  );
  const port = Number(manager.address.split(":").at(-1));
  const disposal = stack.move();
  return {
    manager,
    drivers,
    registry,
    port,
    logged,
    channel: () => disposal.use(new GrpcChannel(manager.address, credentials.createInsecure())),
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

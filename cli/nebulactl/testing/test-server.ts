import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import type { ReportBus } from "../../../common/bus/report-bus.ts";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { silentLog } from "../../../common/log/log.ts";
import { MANAGER_DRIVERS, openDrivers } from "../../../common/open-drivers.ts";
import { startGateway } from "../../../gateway/main.ts";
import { startManager } from "../../../manager/main.ts";
import { startReporter } from "../../../reporter/main.ts";

export const ADMIN = { user: "admin", password: "a test's password", token: "a-tests-token" } as const;

/** A whole server in this process, on the embedded drivers and on free ports. */
export type TestServer = AsyncDisposable & Readonly<{ http: string; grpc: string; reportBus: ReportBus }>;

export async function startTestServer(): Promise<TestServer> {
  await using starting = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "nebulactl-server-"));
  starting.defer(() => rm(dataDir, { recursive: true }));
  const settings = {
    dataDir,
    store: "sqlite:",
    reports: "sqlite:",
    redis: "memory:",
    bus: "memory:",
    cacheTimeMs: 10_000,
    auditRetentionMs: 90 * 86_400_000,
    maxDevicesPerGroup: 100_000,
    reportTtlMs: 26 * 3_600_000,
    httpListen: { host: "127.0.0.1", port: 0 },
    grpcListen: { host: "127.0.0.1", port: 0 },
    grpcAdvertise: undefined,
    redirect: true,
    authEnabled: true,
    admin: { user: ADMIN.user },
  };
  const secrets = { clusterKey: "a test's cluster key", adminPassword: ADMIN.password, adminToken: ADMIN.token };
  const parts = { clock: systemClock, log: silentLog, registry: new Registry() };
  const drivers = starting.use(await openDrivers(MANAGER_DRIVERS, { settings, ...parts }));
  starting.use(await startReporter({ settings, drivers, ...parts }));
  const manager = starting.use(await startManager({ settings, secrets, drivers, ...parts }));
  const port = Number(manager.address.split(":").at(-1));
  const managers = [{ protocol: "grpc", host: "127.0.0.1", port }] as const;
  const gateway = starting.use(await startGateway({ settings: { ...settings, managers }, secrets, ...drivers, ...parts }));
  const started = starting.move();
  return {
    http: `http://127.0.0.1:${gateway.address.port}`,
    grpc: `grpc://127.0.0.1:${port}`,
    reportBus: drivers.reportBus,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

import { randomUUID } from "node:crypto";
import { Registry } from "prom-client";
import type { ReportBus } from "../../../common/bus/report-bus.ts";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { silentLog } from "../../../common/log/log.ts";
import { MANAGER_DRIVERS, openDrivers } from "../../../common/open-drivers.ts";
import { openBackends } from "../../../common/testing/backends.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { startGateway } from "../../../gateway/main.ts";
import { startManager } from "../../../manager/main.ts";
import { startReporter } from "../../../reporter/main.ts";

export const ADMIN = { user: "admin", password: "a test's password", token: "a-tests-token" } as const;

/**
 * A whole server in this process, on free ports: on the embedded drivers, or a cluster where the run says so. `grpc` is
 * the last of its managers.
 */
export type TestServer = AsyncDisposable & Readonly<{ http: string; grpc: string; reportBus: ReportBus }>;

const READY_MS = 30_000;

export async function startTestServer(): Promise<TestServer> {
  await using starting = new AsyncDisposableStack();
  const backends = starting.use(await openBackends());
  const settings = {
    ...backends.settings,
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
  const secrets = { clusterKey: `the cluster key of a test ${randomUUID()}`, adminPassword: ADMIN.password, adminToken: ADMIN.token };

  /** One manager with drivers of its own, as in a process of its own. */
  const startShard = async (shard: string) => {
    const parts = { clock: systemClock, log: silentLog, registry: new Registry() };
    const drivers = starting.use(await openDrivers(MANAGER_DRIVERS, { settings, clusterKey: async () => secrets.clusterKey, ...parts }));
    const manager = starting.use(await startManager({ settings: { ...settings, shard }, secrets, drivers, ...parts }));
    return { parts, drivers, manager, port: Number(manager.address.split(":").at(-1)) };
  };
  const first = await startShard("shard-0");
  const shards = [first];
  while (shards.length < backends.shards) shards.push(await startShard(`shard-${shards.length}`));
  const { parts, drivers, port } = shards.at(-1) ?? first;
  const reporter = starting.use(await startReporter({ settings, drivers, ...parts }));
  const managers = shards.map((shard) => ({ protocol: "grpc", host: "127.0.0.1", port: shard.port }) as const);
  const gateway = starting.use(await startGateway({ settings: { ...settings, managers }, secrets, ...drivers, ...parts }));
  const ready = () => gateway.ready && [reporter, ...shards.map(({ manager }) => manager)].every(({ notReady }) => notReady.length === 0);
  await eventually(ready, { timeoutMs: READY_MS });
  const started = starting.move();
  return {
    http: `http://127.0.0.1:${gateway.address.port}`,
    grpc: `grpc://127.0.0.1:${port}`,
    reportBus: drivers.reportBus,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

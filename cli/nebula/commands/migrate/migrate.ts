import { existsSync } from "node:fs";
import { join } from "node:path";
import { Registry } from "prom-client";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { createLog, type Log } from "../../../../common/log/log.ts";
import { CONFIG_DATABASE, openDrivers, STORES } from "../../../../common/open-drivers.ts";
import type { Settings } from "../../../../common/settings/settings.ts";
import type { CommandContext, NebulaIo } from "../../command/command.ts";
import { onStopSignal } from "../../command/stop-signals.ts";
import { assertNothingRuns } from "../server/mark-running.ts";
import { move, sidesOf } from "./move.ts";
import { describeRestored, findRestoredCredentials } from "./restored-credentials.ts";
import { rotateClusterKey } from "./rotate-cluster-key.ts";

/** How long Kafka may take to make topics, milliseconds. */
const BUS_LIMIT_MS = 60_000;

/**
 * Makes or changes the topics of reports on Kafka, and the keyspaces and tables on Cassandra; brings an SQLite store's
 * schema up to date. After a restore from a backup it raises the epoch, and lists credentials that are valid again; it
 * rotates the cluster key. For these two nothing else may use the store, and for SQLite in any case: the
 * folder is locked. With --from and --to it moves a cluster to another store.
 */
export async function migrate({ settings, own, io }: CommandContext): Promise<number> {
  const log = createLog({ level: settings.logLevel, format: settings.logFormat, part: "migrate" });
  const signal = onStopSignal(io.complain);
  const sides = sidesOf(own, settings);
  if (settings.bus.startsWith("kafka:")) await migrateBus(settings, log, io);
  const keyspaces = await migrateKeyspaces(sides === undefined ? settings : { ...settings, ...sides.to }, log, io, signal);
  if (sides !== undefined) {
    await move({ settings, sides, log, io, signal });
    return 0;
  }
  const servers = keyspaces > 0 || settings.bus.startsWith("kafka:");
  const path = join(settings.dataDir, CONFIG_DATABASE);
  const files = settings.store.startsWith("sqlite:");
  if (files && !existsSync(path)) {
    if (servers && own.size === 0) return 0; // the server makes its store itself
    throw new NebulaError("not_found", `store ${path} not found: NEBULA_DATA must name the data folder of a server, or a backup`);
  }
  if (!files && own.size === 0) return 0;
  const rotates = own.get("new-cluster-key") === "true";
  await using drivers = await openDrivers(STORES, { settings, clock: systemClock, log, signal });
  const { configStore, accessStore } = drivers;
  if (rotates) await assertNothingRuns(configStore, signal);
  if (files) io.print("the schema is up to date");
  if (own.get("after-restore") === "true") {
    const before = configStore.cluster.epoch;
    const { id, epoch } = await configStore.raiseEpoch(systemClock.now());
    io.print(`cluster ${id}: epoch ${before} -> ${epoch}; devices follow this store again, also those that saw newer revisions before the restore`);
    for (const line of describeRestored(await findRestoredCredentials(accessStore, systemClock.now(), signal))) io.print(line);
  }
  if (rotates) await rotateClusterKey({ settings, configStore, io });
  return 0;
}

async function migrateBus(settings: Settings, log: Log, io: NebulaIo): Promise<void> {
  const { migrateReportBus } = await import("../../../../common/bus/kafka/kafka-bus.ts");
  const signal = AbortSignal.timeout(BUS_LIMIT_MS);
  await migrateReportBus({ url: settings.bus, login: settings.backends.bus, clock: systemClock, log, signal });
  io.print("the topics of reports are up to date");
}

/** Brings the keyspaces of both stores to this version's schema; answers how many there are. */
async function migrateKeyspaces({ store, reports, backends }: Settings, log: Log, io: NebulaIo, signal: AbortSignal): Promise<number> {
  const given = [
    { setting: "NEBULA_STORE", url: store, ...backends.store },
    { setting: "NEBULA_REPORTS", url: reports, ...backends.reports },
  ].filter(({ url }, index) => url.startsWith("cassandra:") && (index === 0 || url !== store));
  if (given.length === 0) return 0;
  const [{ migrateCassandra }, { createStoreMetrics }] = await Promise.all([
    import("../../../../common/storage/cassandra/schema/migrate-cassandra.ts"),
    import("../../../../common/storage/cassandra/connection/store-metrics.ts"),
  ]);
  const metrics = createStoreMetrics(new Registry());
  const say = { print: io.print, warn: (line: string) => io.complain(`nebula: warning: ${line}`) };
  for (const keyspace of given) {
    await migrateCassandra({ ...keyspace, clock: systemClock, log, metrics, signal, waitingFor: new Set() }, say);
  }
  return given.length;
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../clock/system-clock.ts";
import { silentLog } from "../log/log.ts";
import type { Settings } from "../settings/settings.ts";
import type { ServerKind, TestServer } from "./servers.ts";

export type TestServers = Readonly<Record<ServerKind, TestServer>>;

type Urls = Pick<Settings, "store" | "reports" | "redis" | "bus">;

/** The backends that the processes of a suite's server share: a data folder, or a keyspace and a topic of their own. Disposing removes it. */
export type TestBackends = AsyncDisposable &
  Readonly<{
    /** How many managers the suite's server has. */
    shards: number;
    settings: Pick<Settings, "dataDir"> & Urls;
  }>;

const EMBEDDED = { store: "sqlite:", reports: "sqlite:", redis: "memory:", bus: "memory:" };

/** Of a topic: each partition costs the broker memory. */
const PARTITIONS = 3;
const KAFKA_LIMIT_MS = 60_000;

/** Whether this run has its suites use a cluster wherever they start a server, on the servers that the variables name. */
export function isOnCluster(): boolean {
  const mode = process.env.NEBULA_TEST_ON ?? "embedded";
  if (mode !== "embedded" && mode !== "cluster") throw new Error(`invalid NEBULA_TEST_ON "${mode}": use embedded or cluster`);
  return mode === "cluster";
}

/** @param servers has the suite's server be a cluster on these; without them the run decides */
export async function openBackends(servers?: TestServers): Promise<TestBackends> {
  await using opening = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "nebula-test-"));
  opening.defer(() => rm(dataDir, { recursive: true, force: true }));
  const onCluster = servers !== undefined || isOnCluster();
  const urls = onCluster ? await prepareCluster(opening, servers) : EMBEDDED;
  const opened = opening.move();
  return { shards: onCluster ? 2 : 1, settings: { dataDir, ...urls }, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Makes the tables and the topics. */
async function prepareCluster(opening: AsyncDisposableStack, given?: TestServers): Promise<Urls> {
  const [{ kafkaUrl, namedServers, redisUrl }, { createTestKeyspace }, { migrateReportBus }] = await Promise.all([
    import("./servers.ts"),
    import("./test-keyspace.ts"),
    import("../bus/kafka/kafka-bus.ts"),
  ]); // loaded where they are needed: they are large
  const { cassandra, redis, kafka } = given ?? namedServers();
  const { url: store } = opening.use(await createTestKeyspace(cassandra));
  const bus = `${kafkaUrl(kafka)}?partitions=${PARTITIONS}`;
  const login = { password: undefined, ca: undefined };
  await migrateReportBus({ url: bus, login, clock: systemClock, log: silentLog, signal: AbortSignal.timeout(KAFKA_LIMIT_MS) });
  return { store, reports: store, redis: redisUrl(redis), bus };
}

import { Registry } from "prom-client";
import { systemClock } from "../clock/system-clock.ts";
import { silentLog } from "../log/log.ts";
import type { CassandraClient } from "../storage/cassandra/connection/client.ts";
import { connectCassandra, type OpenCassandraOptions } from "../storage/cassandra/connection/connect-cassandra.ts";
import { createStoreMetrics } from "../storage/cassandra/connection/store-metrics.ts";
import { openCassandra } from "../storage/cassandra/open-cassandra.ts";
import { migrateCassandra } from "../storage/cassandra/schema/migrate-cassandra.ts";
import { cassandraUrl, requireStoppableServer, type TestServer } from "./servers.ts";
import type { TestContainer } from "./test-container.ts";

/** A keyspace of a test on a real Cassandra, with all tables, and a client of it. Disposing drops it. */
export type TestKeyspace = AsyncDisposable & { readonly url: string; readonly client: CassandraClient; readonly registry: Registry };

/** How a component opens the store at this URL. */
export function openOptions(url: string, more: Partial<OpenCassandraOptions> = {}, registry = new Registry()): OpenCassandraOptions {
  const waitingFor = new Set<string>();
  const { signal } = new AbortController();
  const metrics = createStoreMetrics(registry);
  return {
    setting: "NEBULA_STORE",
    url,
    password: undefined,
    ca: undefined,
    clock: systemClock,
    log: silentLog,
    metrics,
    signal,
    waitingFor,
    ...more,
  };
}

/** Makes a keyspace with the whole schema. Takes some seconds: once for a suite. */
export async function createTestKeyspace(server: TestServer, url = cassandraUrl(server)): Promise<TestKeyspace> {
  await migrateCassandra(openOptions(url), { print: () => {}, warn: () => {} });
  const registry = new Registry();
  const client = await openCassandra(openOptions(url, {}, registry));
  return {
    url,
    client,
    registry,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await dropKeyspace(url);
    },
  };
}

/** The same on a Cassandra that the suite may stop and start again. Skips the suite without a Docker Engine. */
export async function createStoppableKeyspace(context: Mocha.Context): Promise<Readonly<{ keyspace: TestKeyspace; container: TestContainer }>> {
  const server = await requireStoppableServer(context, "cassandra");
  return { keyspace: await createTestKeyspace(server), container: server.container };
}

/** Drops a keyspace that a test made: each table costs memory. */
export async function dropKeyspace(url: string): Promise<void> {
  await using client = await connectCassandra(openOptions(url), { withoutKeyspace: true });
  await client.define(`DROP KEYSPACE IF EXISTS ${client.target.keyspace}`);
}

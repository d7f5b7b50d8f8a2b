import { randomBytes } from "node:crypto";
import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { connectCassandra, type OpenCassandraOptions } from "../../common/storage/cassandra/connection/connect-cassandra.ts";
import { createStoreMetrics } from "../../common/storage/cassandra/connection/store-metrics.ts";
import { migrateCassandra } from "../../common/storage/cassandra/schema/migrate-cassandra.ts";

/** A keyspace of a bench, with all tables; disposing drops it. */
export type BenchKeyspace = AsyncDisposable &
  Readonly<{
    name: string;
    /** As NEBULA_STORE. */
    url: string;
    /** How a component opens it. */
    options: OpenCassandraOptions;
  }>;

export type BenchKeyspaceOptions = Readonly<{ address: string; signal: AbortSignal; say: (line: string) => void }>;

/** Makes a keyspace on the Cassandra at this address, host:port, as `nebula migrate` does. */
export async function createBenchKeyspace({ address, signal, say }: BenchKeyspaceOptions): Promise<BenchKeyspace> {
  const name = `nebula_bench_${randomBytes(6).toString("hex")}`;
  const url = `cassandra://${address}/${name}?rf=1`;
  const options = {
    setting: "--store",
    url,
    password: undefined,
    ca: undefined,
    clock: systemClock,
    log: silentLog,
    metrics: createStoreMetrics(new Registry()),
    signal,
    waitingFor: new Set<string>(),
  };
  await migrateCassandra(options, { print: say, warn: say });
  return {
    name,
    url,
    options,
    async [Symbol.asyncDispose]() {
      const { signal: uninterrupted } = new AbortController();
      await using client = await connectCassandra({ ...options, signal: uninterrupted }, { withoutKeyspace: true });
      await client.define(`DROP KEYSPACE IF EXISTS ${name}`);
    },
  };
}

/** The host:port in a NEBULA_STORE without a keyspace; undefined where it is not one. */
export function cassandraAddress(url: string): string | undefined {
  return /^cassandra:\/\/([^/?]+)\/?$/.exec(url)?.[1];
}

import { randomBytes } from "node:crypto";
import { NebulaError } from "../../../errors/nebula-error.ts";
import type { CassandraClient } from "../connection/client.ts";
import { connectCassandra, type OpenCassandraOptions } from "../connection/connect-cassandra.ts";
import { CLUSTER_ROW } from "./config-tables.ts";
import { takeMigrationLock } from "./migration-lock.ts";
import { createTable, MIGRATIONS, SCHEMA_VERSION, TABLES } from "./schema.ts";
import { schemaVersion } from "./schema-version.ts";

/** The oldest Cassandra whose lightweight transactions Nebula relies on. */
const OLDEST = [4, 1] as const;
const ENOUGH_COPIES = 3;

/** Says one line to the person who migrates. */
type Say = Readonly<{ print: (line: string) => void; warn: (line: string) => void }>;

/**
 * Brings a keyspace to this program's schema, the keyspace itself included; one migration at a time, in all processes (migration-lock.ts). Can be
 * repeated after a cut at any point. Components of this version and the one before run meanwhile.
 * @throws NebulaError failed_precondition for a Cassandra that is too old, or a schema that is newer than this program
 */
export async function migrateCassandra(options: OpenCassandraOptions, say: Say): Promise<void> {
  {
    await using client = await connectCassandra(options, { withoutKeyspace: true });
    assertVersions(client);
    await warnOfPaxos(client, say);
    await makeKeyspace(client, say);
  }
  await using client = await connectCassandra(options);
  const { keyspace } = client.target;
  await client.define(createTable(TABLES[0] ?? fail()));
  const waits = () => say.print(`another nebula migrate is at work in ${keyspace}: waiting for its end, or for a minute of silence`);
  await using lock = await takeMigrationLock(client, { ...options, waits });
  const before = await schemaVersion(client, options.signal);
  if (before > SCHEMA_VERSION) {
    throw new NebulaError(
      "failed_precondition",
      `the keyspace "${keyspace}" has schema version ${before}, this program knows ${SCHEMA_VERSION}: run a newer Nebula`,
    );
  }
  for (const { version, statements } of MIGRATIONS.slice(before)) {
    for (const statement of statements) {
      await lock.assertHeld();
      await client.define(statement);
    }
    await lock.setVersion(version);
  }
  await makeCluster(client);
  say.print(
    before === SCHEMA_VERSION
      ? `keyspace ${keyspace}: the schema is up to date`
      : `keyspace ${keyspace}: schema version ${before} -> ${SCHEMA_VERSION}`,
  );
}

/** Throws `failed_precondition` where a node is too old. */
export function assertVersions(client: Pick<CassandraClient, "nodes">): void {
  for (const { address, version } of client.nodes()) {
    const [major = 0, minor = 0] = version.split(".").map(Number);
    if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) continue;
    throw new NebulaError(
      "failed_precondition",
      `the node ${address} runs Cassandra ${version}: Nebula needs ${OLDEST.join(".")} or newer on every node`,
    );
  }
}

/** The older variant answers contended writes with time-outs, and needs more round trips. */
export async function warnOfPaxos(client: Pick<CassandraClient, "settingOfNodes">, { warn }: Say): Promise<void> {
  for (const { address, value } of await client.settingOfNodes("paxos_variant")) {
    if (value !== "v2")
      warn(`the node ${address} has paxos_variant ${value ?? "unset"}: set v2 in its cassandra.yaml, and run a repair of paxos first`);
  }
}

async function makeKeyspace(client: CassandraClient, { print, warn }: Say): Promise<void> {
  const { keyspace, replication: wanted } = client.target;
  const found = await client.replication();
  const nodes = client.nodes().filter(({ dataCenter }) => dataCenter === client.dataCenter).length;
  const copies = wanted ?? Math.min(ENOUGH_COPIES, nodes);
  if (Object.keys(found).length === 0) {
    await client.define(
      `CREATE KEYSPACE IF NOT EXISTS ${keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', '${client.dataCenter}': ${copies}}`,
    );
    print(`keyspace ${keyspace}: made, ${copies} ${copies === 1 ? "copy" : "copies"} of each row in ${client.dataCenter}`);
  }
  const now = Number((await client.replication())[client.dataCenter] ?? copies);
  if (now < ENOUGH_COPIES) {
    warn(
      `keyspace ${keyspace} keeps ${now} of each row in ${client.dataCenter}: with fewer than ${ENOUGH_COPIES}, one node that is down stops every write`,
    );
  }
}

async function makeCluster(client: CassandraClient): Promise<void> {
  const cql = "INSERT INTO cluster (only, id, epoch) VALUES (?, ?, ?) IF NOT EXISTS";
  const outcome = await client.conditional("cluster", [{ cql, params: [CLUSTER_ROW, randomBytes(16).toString("hex"), 1n] }]);
  if (outcome.kind === "unknown")
    throw new NebulaError("unavailable", "the store did not say whether the cluster's identity is stored: run nebula migrate again");
}

function fail(): never {
  throw new NebulaError("internal", "the schema has no table");
}

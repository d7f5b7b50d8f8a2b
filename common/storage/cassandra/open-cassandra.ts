import type { CassandraClient } from "./connection/client.ts";
import { connectCassandra, type OpenCassandraOptions, whileAbsent } from "./connection/connect-cassandra.ts";
import { assertSchema } from "./schema/schema-version.ts";

/**
 * Connects a component: waits for a store that is absent, and checks its schema.
 * @throws NebulaError invalid_argument for the URL; failed_precondition where the login is refused, the keyspace is missing, or the schema is of another version
 */
export async function openCassandra(options: OpenCassandraOptions): Promise<CassandraClient> {
  await using opening = new AsyncDisposableStack();
  const client = opening.use(await connectCassandra(options));
  await whileAbsent(options, client.target, () => assertSchema(client));
  const { log } = options;
  const { keyspace, consistency } = client.target;
  const replication = await client.replication();
  log.info({ nodes: client.nodes(), dataCenter: client.dataCenter, keyspace, replication, consistency }, "Cassandra answers");
  opening.move();
  return client;
}

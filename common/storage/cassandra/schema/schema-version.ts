import { errors, types } from "cassandra-driver";
import { NebulaError } from "../../../errors/nebula-error.ts";
import type { CassandraClient } from "../connection/client.ts";
import { integer, isNull } from "../connection/rows.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/** The partition of schema_state that is in use. */
export const SCHEMA_PART = "nebula";

/** The version of a keyspace's schema; 0: it has none. */
export async function schemaVersion(client: CassandraClient, signal?: AbortSignal): Promise<number> {
  try {
    const query = { cql: "SELECT version FROM schema_state WHERE part = ?", params: [SCHEMA_PART] };
    const { rows } = await client.execute(query, { table: "schema_state", kind: "read", signal });
    const [row] = rows;
    return row === undefined || isNull(row, "version") ? 0 : integer(row, "version");
  } catch (error) {
    // a table that does not exist is an invalid statement
    if (error instanceof errors.ResponseError && error.code === types.responseErrorCodes.invalid && /schema_state/.test(error.message)) return 0;
    throw error;
  }
}

/**
 * A component runs on its own schema and the next: a cluster is migrated first, then its components are replaced one by one.
 * @throws NebulaError failed_precondition on any other, with the command that helps
 */
export async function assertSchema(client: CassandraClient): Promise<void> {
  const version = await schemaVersion(client);
  if (version === SCHEMA_VERSION || version === SCHEMA_VERSION + 1) return;
  const { keyspace } = client.target;
  if (version === 0) throw new NebulaError("failed_precondition", `the keyspace "${keyspace}" has no tables of Nebula: run nebula migrate`);
  throw new NebulaError(
    "failed_precondition",
    version < SCHEMA_VERSION
      ? `the keyspace "${keyspace}" has schema version ${version}, this program needs ${SCHEMA_VERSION}: run nebula migrate of this version`
      : `the keyspace "${keyspace}" has schema version ${version}, this program knows up to ${SCHEMA_VERSION + 1}: start a newer Nebula`,
  );
}

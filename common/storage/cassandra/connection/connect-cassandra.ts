import { readFile } from "node:fs/promises";
import type { Clock } from "../../../clock/clock.ts";
import { messageOf, NebulaError } from "../../../errors/nebula-error.ts";
import { systemReason } from "../../../errors/system-reason.ts";
import type { Log } from "../../../log/log.ts";
import { refusedForGood } from "./cassandra-errors.ts";
import { type CassandraTarget, parseCassandraUrl } from "./cassandra-url.ts";
import { CassandraClient } from "./client.ts";
import type { StoreMetrics } from "./store-metrics.ts";

export type OpenCassandraOptions = Readonly<{
  /** The setting that gives the URL, for messages. */
  setting: string;
  url: string;
  password: string | undefined;
  /** PEM file of the authorities of the nodes' certificates. */
  ca: string | undefined;
  clock: Clock;
  log: Log;
  metrics: StoreMetrics;
  /** Ends the wait for a store that is absent. */
  signal: AbortSignal;
  /** While the store is absent, it is named here: one sentence. */
  waitingFor: Set<string>;
}>;

const AGAIN_MS = 1000;

/**
 * Connects; waits without a limit for a store that is absent. The schema is not checked.
 * @throws NebulaError invalid_argument for the URL; failed_precondition where the login is refused or the keyspace is missing
 */
export async function connectCassandra(options: OpenCassandraOptions, { withoutKeyspace = false } = {}): Promise<CassandraClient> {
  const { setting, url, password, clock, metrics } = options;
  const target = parseCassandraUrl(setting, url);
  const ca = options.ca === undefined ? undefined : await readCa(setting, options.ca);
  return whileAbsent(options, target, async () => {
    const client = new CassandraClient({ target, password, ca, clock, metrics, withoutKeyspace });
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client[Symbol.asyncDispose]().catch(() => {}); // it was never open
      throw explained(setting, target, error);
    }
  });
}

/** Repeats work that rejects as `unavailable`. */
export async function whileAbsent<T>(
  { setting, clock, log, signal, waitingFor }: OpenCassandraOptions,
  target: CassandraTarget,
  work: () => Promise<T>,
): Promise<T> {
  const absent = `${setting}: no Cassandra node answers at ${target.contactPoints.join(", ")}`;
  try {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof NebulaError) || error.kind !== "unavailable") throw error;
        if (!waitingFor.has(absent)) log.warn({ err: error }, `${absent}: waiting for it`);
        waitingFor.add(absent);
        await clock.sleep(AGAIN_MS, signal);
      }
    }
  } finally {
    waitingFor.delete(absent);
  }
}

function explained(setting: string, { user, keyspace, dataCenter }: CassandraTarget, error: unknown): unknown {
  switch (refusedForGood(error)) {
    case "login":
      return new NebulaError(
        "failed_precondition",
        user === undefined
          ? `${setting}: Cassandra asks for a login: give the user as ?user= in the URL, the password as ${setting}_PASSWORD`
          : `${setting}: Cassandra refuses the login of user "${user}": check ?user= of the URL, and ${setting}_PASSWORD`,
        { cause: error },
      );
    case "keyspace":
      return new NebulaError("failed_precondition", `${setting}: there is no keyspace "${keyspace}": run nebula migrate, which makes it`, {
        cause: error,
      });
    case "data_center":
      return new NebulaError("invalid_argument", `invalid ${setting}, dc "${dataCenter ?? ""}": ${messageOf(error)}`, { cause: error });
    default:
      return new NebulaError("unavailable", `${setting}: ${messageOf(error)}`, { cause: error });
  }
}

async function readCa(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new NebulaError("failed_precondition", `${setting}_CA: ${path} can't be read: ${systemReason(error)}`, { cause: error });
  }
}

import { randomBytes } from "node:crypto";
import { freePort, onFreePorts } from "./free-port.ts";
import { requireDocker } from "./require-docker.ts";
import type { TestContainer, TestContainerSpec } from "./test-container.ts";

/** The servers that Nebula stores in, as real ones for tests. The first suite that asks starts one; all suites of a run share it until the run ends. */
export type ServerKind = "cassandra" | "redis" | "kafka";

export type TestServer = Readonly<{
  /** host:port; of a Cassandra of several nodes those of all, with commas between them */
  address: string;
  /** How many copies a keyspace on this Cassandra has; 1 where absent. */
  copies?: number;
  /** Kafka's second listener: a proxy in front of `target` listens on `port`, which is what this listener tells clients to dial. */
  proxied?: Readonly<{ target: string; port: number }>;
  /** Absent where NEBULA_TEST_CASSANDRA, NEBULA_TEST_REDIS or NEBULA_TEST_KAFKA names a server that was there before. */
  container?: TestContainer;
}>;

export const ADDRESS_VARIABLES: Readonly<Record<ServerKind, string>> = {
  cassandra: "NEBULA_TEST_CASSANDRA",
  redis: "NEBULA_TEST_REDIS",
  kafka: "NEBULA_TEST_KAFKA",
};

/** The least timeout of a hook that may have to start servers. */
const START_LIMIT_MS = 150_000;

/** Has a Java server compile its code once, quickly: it ends with the tests, before code that was optimised at length has paid. */
export const QUICK_COMPILER = "-XX:TieredStopAtLevel=1";

/** The places in a row of ports that a proxy of Kafka and the listener behind it get. */
const PROXY = 1;
const BEHIND_PROXY = 2;

const CONTAINERS: Readonly<Record<ServerKind, (port: number) => TestContainerSpec>> = {
  cassandra: (port) => ({
    image: "cassandra:5.0",
    port,
    insidePort: 9042,
    env: {
      MAX_HEAP_SIZE: "512M",
      HEAP_NEWSIZE: "128M",
      CASSANDRA_LISTEN_ADDRESS: "127.0.0.1", // on loopback it keeps its identity when the engine gives the container another address
      // A node by itself that syncs its commit log now and then loses the newest writes when it is killed; with copies another node has them.
      JAVA_TOOL_OPTIONS: [
        QUICK_COMPILER,
        "-Dcassandra.jmx.local.port=7199", // nodetool, within the container
        "-Dcassandra.config.allow_system_properties=true",
        "-Dcassandra.settings.commitlog_sync=batch",
        "-Dcassandra.settings.commitlog_sync_period=0ms",
      ].join(" "),
      TIERED_STOP_AT_LEVEL: "1", // the image of e2e/images/build says it to Java itself
    },
  }),
  redis: (port) => ({ image: "redis:7", port, insidePort: 6379, command: ["redis-server", "--save", ""] }),
  kafka: (port) => ({
    image: "apache/kafka:3.9.1",
    port,
    morePorts: [port + BEHIND_PROXY],
    env: {
      KAFKA_NODE_ID: "1",
      KAFKA_PROCESS_ROLES: "broker,controller",
      KAFKA_LISTENERS: `PLAINTEXT://:${port},PROXIED://:${port + BEHIND_PROXY},CONTROLLER://:9093`,
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port},PROXIED://127.0.0.1:${port + PROXY}`,
      KAFKA_CONTROLLER_LISTENER_NAMES: "CONTROLLER",
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
      KAFKA_CONTROLLER_QUORUM_VOTERS: "1@localhost:9093",
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: "1",
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: "1",
      KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: "1",
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: "0",
      KAFKA_HEAP_OPTS: "-Xmx384m -Xms384m",
      JAVA_TOOL_OPTIONS: QUICK_COMPILER,
    },
  }),
};

const shared = new Map<ServerKind, Promise<TestContainer>>();
const own = new AsyncDisposableStack();

// A hook of the root suite: it runs once, after all files.
after("stop the servers of the tests", async function () {
  this.timeout(60_000);
  await own.disposeAsync();
});

/**
 * The server of this kind that all tests share; call it in a `before` hook. Use fresh names on it, and leave it running.
 * Skips the suite where no Docker Engine answers; under CI=true that is a failure.
 */
export async function requireServer(context: Mocha.Context, kind: ServerKind): Promise<TestServer> {
  const address = process.env[ADDRESS_VARIABLES[kind]];
  return address ? { address } : requireStoppableServer(context, kind);
}

/** All servers that all tests share. */
export async function requireServers(context: Mocha.Context): Promise<Readonly<Record<ServerKind, TestServer>>> {
  const [cassandra, redis, kafka] = await Promise.all([
    requireServer(context, "cassandra"),
    requireServer(context, "redis"),
    requireServer(context, "kafka"),
  ]);
  return { cassandra, redis, kafka };
}

/** The servers that the variables name, in a run that another run started. */
export function namedServers(): Readonly<Record<ServerKind, TestServer>> {
  const named = (kind: ServerKind) => {
    const address = process.env[ADDRESS_VARIABLES[kind]];
    if (address === undefined) throw new Error(`${ADDRESS_VARIABLES[kind]} names no server`);
    return { address };
  };
  return { cassandra: named("cassandra"), redis: named("redis"), kafka: named("kafka") };
}

/** The same, for tests that kill or pause it: a server that this run started, and that runs again when the suite ends. */
export async function requireStoppableServer(context: Mocha.Context, kind: ServerKind): Promise<TestServer & { container: TestContainer }> {
  context.timeout(Math.max(START_LIMIT_MS, context.timeout()));
  await requireDocker(context);
  const container = await (shared.get(kind) ?? startShared(kind));
  const proxied = { target: `127.0.0.1:${container.port + BEHIND_PROXY}`, port: container.port + PROXY };
  return { address: container.address, container, ...(kind === "kafka" ? { proxied } : {}) };
}

function startShared(kind: ServerKind): Promise<TestContainer> {
  const starting = (async () => {
    const { TestContainer } = await import("./test-container.ts"); // loaded where it is needed: it is large
    return own.use(await onFreePorts(async () => TestContainer.start(CONTAINERS[kind](await freePort(3)))));
  })();
  shared.set(kind, starting);
  return starting;
}

/** A keyspace that no other test uses: `nebula migrate`, or the suite itself, makes it; the suite drops it, because each table costs memory. */
export function freshKeyspace(): string {
  return `nebula_test_${fresh()}`;
}

/** A prefix of keys and channels in Redis that no other test uses. */
export function freshPrefix(): string {
  return `nebula-test-${fresh()}:`;
}

/** A topic that no other test uses. */
export function freshTopic(): string {
  return `nebula-test-${fresh()}`;
}

/** NEBULA_STORE for a keyspace of a server. */
export function cassandraUrl({ address, copies = 1 }: TestServer, keyspace = freshKeyspace()): string {
  return `cassandra://${address}/${keyspace}?rf=${copies}`;
}

/** NEBULA_REDIS for a server. */
export function redisUrl({ address }: TestServer): string {
  return `redis://${address}`;
}

/** NEBULA_BUS for a topic of a server. */
export function kafkaUrl({ address }: TestServer, topic = freshTopic()): string {
  return `kafka://${address}/${topic}`;
}

function fresh(): string {
  return randomBytes(6).toString("hex");
}

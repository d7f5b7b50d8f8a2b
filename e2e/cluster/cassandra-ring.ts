import { randomInt } from "node:crypto";
import { Client, policies, types } from "cassandra-driver";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort, onFreePorts } from "../../common/testing/free-port.ts";
import { QUICK_COMPILER, type TestServer } from "../../common/testing/servers.ts";
import { TestContainer } from "../../common/testing/test-container.ts";

/** As many as there are copies of a row: one that is absent leaves a majority of each row. */
const NODES = 3;
/** The name of the client by which a ring looks at its own nodes. */
const OWN_CLIENT = "ring";
/** How long a node that was away may take until the others count on it again, milliseconds. */
const WHOLE_MS = 120_000;

/** Three nodes of one Cassandra, each of which holds a copy of every row. Each listens on a loopback address of its own, which clients of this machine reach. */
export class CassandraRing implements AsyncDisposable {
  readonly nodes: readonly TestContainer[];
  readonly #client: Client;
  readonly #opened: AsyncDisposableStack;

  private constructor(nodes: readonly TestContainer[], client: Client, opened: AsyncDisposableStack) {
    this.nodes = nodes;
    this.#client = client;
    this.#opened = opened;
  }

  /** Starts one node after the other; resolves when each counts on all. */
  static start(): Promise<CassandraRing> {
    return onFreePorts(async () => {
      await using opening = new AsyncDisposableStack();
      const [port, storagePort, jmxPort] = [await freePort(), await freePort(), await freePort(NODES)];
      const network = `127.${randomInt(1, 255)}.${randomInt(1, 255)}`;
      const addresses = Array.from({ length: NODES }, (_, index) => `${network}.${index + 1}`);
      const nodes: TestContainer[] = [];
      for (const [index, hostAddress] of addresses.entries()) {
        const spec = nodeSpec({ hostAddress, port, storagePort, jmxPort: jmxPort + index, seed: addresses[0] ?? "" });
        nodes.push(opening.use(await TestContainer.start(spec)));
      }
      const client = new Client({
        contactPoints: nodes.map(({ address }) => address),
        protocolOptions: { port },
        applicationName: OWN_CLIENT,
        policies: {
          loadBalancing: new policies.loadBalancing.RoundRobinPolicy(),
          reconnection: new policies.reconnection.ConstantReconnectionPolicy(1000),
        },
      });
      client.on("log", () => {}); // a node that is absent is what the tests are about
      opening.defer(() => client.shutdown());
      await client.connect();
      const ring = new CassandraRing(nodes, client, opening.move());
      await ring.startAgain();
      return ring;
    });
  }

  get server(): TestServer {
    return { address: this.nodes.map(({ address }) => address).join(","), copies: NODES };
  }

  /** Has every node run, and go on. Resolves when each counts on all others. */
  async startAgain(): Promise<void> {
    for (const node of this.nodes) {
      await node.unpause();
      await node.startAgain();
    }
    await eventually(() => this.assertWhole(), { timeoutMs: WHOLE_MS, everyMs: 500 });
  }

  /** Rejects where a node does not answer, or does not count on all others: then it does not answer for all copies of a row. */
  async assertWhole(): Promise<void> {
    const query = "SELECT status FROM system_distributed.view_build_status WHERE keyspace_name = 'none' AND view_name = 'none'";
    await Promise.all(this.nodes.map((node) => this.#ask(node, query, types.consistencies.all)));
  }

  /** The clients that a node has connections of: for each, the ports from which they came. */
  async clientsOf(node: TestContainer): Promise<ReadonlyMap<string, ReadonlySet<number>>> {
    const { rows } = await this.#ask(node, "SELECT port, client_options FROM system_views.clients", types.consistencies.one);
    const clients = new Map<string, Set<number>>();
    for (const { port, client_options: options } of rows) {
      if (options === null || options.APPLICATION_NAME === OWN_CLIENT) continue; // null: it has not introduced itself yet
      const id = String(options.CLIENT_ID);
      clients.set(id, (clients.get(id) ?? new Set()).add(port));
    }
    return clients;
  }

  async #ask(node: TestContainer, query: string, consistency: types.consistencies): Promise<types.ResultSet> {
    const host = this.#client.hosts.values().find(({ address }) => address === node.address);
    if (host === undefined) throw new Error(`the ring does not announce ${node.address}`);
    return this.#client.execute(query, [], { host, consistency, prepare: false, readTimeout: 10_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}

type NodeOptions = Readonly<{ hostAddress: string; port: number; storagePort: number; jmxPort: number; seed: string }>;

function nodeSpec({ hostAddress, port, storagePort, jmxPort, seed }: NodeOptions) {
  const settings = {
    rpc_address: hostAddress,
    broadcast_rpc_address: hostAddress,
    native_transport_port: port,
    storage_port: storagePort,
  };
  const given = Object.entries(settings).map(([name, value]) => `-Dcassandra.settings.${name}=${value}`);
  return {
    image: "cassandra:5.0",
    port,
    hostAddress,
    env: {
      MAX_HEAP_SIZE: "512M",
      HEAP_NEWSIZE: "128M",
      CASSANDRA_SEEDS: seed,
      CASSANDRA_LISTEN_ADDRESS: hostAddress,
      CASSANDRA_BROADCAST_ADDRESS: hostAddress,
      JAVA_TOOL_OPTIONS: [QUICK_COMPILER, "-Dcassandra.config.allow_system_properties=true", "-Dcassandra.ring_delay_ms=1000", ...given].join(" "),
      TIERED_STOP_AT_LEVEL: "1", // the image of e2e/images/build says it to Java itself
      JVM_EXTRA_OPTS: `-Dcassandra.jmx.local.port=${jmxPort}`, // of the official image, where all nodes would take one port
    },
  };
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../common/testing/free-port.ts";
import { cassandraUrl, freshKeyspace, freshTopic, kafkaUrl, redisUrl, type ServerKind, type TestServer } from "../../common/testing/servers.ts";
import { dropKeyspace } from "../../common/testing/test-keyspace.ts";
import { Member, type Part } from "./cluster-member.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { Program } from "./program.ts";

export type ClusterOptions = Readonly<{
  servers: Readonly<Record<ServerKind, TestServer>>;
  shards?: number;
  reporters?: number;
  /** Settings of all processes. */
  env?: Readonly<Record<string, string>>;
  /** Each process reaches Cassandra and Redis through proxies of its own, and Kafka through one that all share. */
  proxied?: boolean;
  /** The `nebula` of another tree: it makes the schema, and is the program of all processes that start with the cluster. */
  file?: string;
}>;

export type ShardOptions = Readonly<{ name: string; env?: Readonly<Record<string, string>>; wrapper?: readonly string[] }>;

/** Of a topic: each costs the broker memory. */
const PARTITIONS = 6;

/** Of what a member logged last, characters. */
const LAST_LOGGED = 2500;

/** Managers, a gateway and reporters as processes of their own, on a keyspace and a topic of their own. */
export class Cluster implements AsyncDisposable {
  readonly password = "a cluster's password";
  readonly #options: ClusterOptions;
  readonly #opened: AsyncDisposableStack;
  readonly #keyspace = freshKeyspace();
  readonly #topic = `${freshTopic()}?partitions=${PARTITIONS}`;
  readonly #env: Readonly<Record<string, string>>;
  readonly #kafka: FaultProxy | undefined;
  readonly #shards: Member[] = [];
  readonly #reporters: Member[] = [];
  #gateway: Member | undefined;

  private constructor(options: ClusterOptions, folder: string, kafka: FaultProxy | undefined, opened: AsyncDisposableStack) {
    this.#options = options;
    this.#kafka = kafka;
    this.#opened = opened;
    this.#env = {
      NEBULA_CLUSTER_KEY: `the key of ${this.#keyspace}`, // what Redis holds has names that follow from it
      NEBULA_ADMIN_PASSWORD: this.password,
      NEBULA_DATA: join(folder, "data"),
      ...options.env,
    };
  }

  /** Makes the schema and starts all processes; resolves when they are ready. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    await using opening = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "nebula-e2e-cluster-"));
    opening.defer(() => rm(folder, { recursive: true, force: true }));
    const { proxied } = options.servers.kafka;
    if (options.proxied === true && proxied === undefined) throw new Error("this Kafka has no listener behind a proxy");
    const kafka = options.proxied === true && proxied !== undefined ? opening.use(await FaultProxy.start(proxied)) : undefined;
    const cluster = new Cluster(options, folder, kafka, opening.move());
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get shards(): readonly Member[] {
    return this.#shards;
  }

  get reporters(): readonly Member[] {
    return this.#reporters;
  }

  get gateway(): Member {
    return present(this.#gateway);
  }

  /** In front of Kafka, for all processes. */
  get kafka(): FaultProxy {
    return present(this.#kafka);
  }

  /** All that run, or ran. */
  get members(): readonly Member[] {
    return [...this.#shards, ...this.#reporters, this.gateway];
  }

  /** The end of the log of each member, for a test that failed. */
  get lastLogged(): string {
    return this.members.map(({ name, program }) => `${name} logged last:\n${program.output.slice(-LAST_LOGGED)}`).join("\n");
  }

  /** The settings by which a program in this process reaches the cluster's backends, past all proxies. */
  get backends(): Readonly<{ store: string; redis: string; bus: string; clusterKey: string }> {
    const { cassandra, redis, kafka } = this.#options.servers;
    return {
      store: cassandraUrl(cassandra, this.#keyspace),
      redis: redisUrl(redis),
      bus: kafkaUrl(kafka, this.#topic),
      clusterKey: this.#env.NEBULA_CLUSTER_KEY ?? "",
    };
  }

  /** Starts one more shard; resolves when it is ready. */
  async addShard(options: ShardOptions): Promise<Member> {
    const shard = await this.#addShard(options);
    await shard.ready();
    return shard;
  }

  /** Starts one more reporter; resolves when it is ready. */
  async addReporter(name: string): Promise<Member> {
    const reporter = await this.#add("reporter", name, await freePort(), {});
    this.#reporters.push(reporter);
    await reporter.ready();
    return reporter;
  }

  /** Has the members forget one that ended for good. */
  forget(member: Member): void {
    for (const members of [this.#shards, this.#reporters]) {
      const at = members.indexOf(member);
      if (at >= 0) members.splice(at, 1);
    }
  }

  /** Runs this tree's `nebula migrate` with these arguments on the cluster's backends. */
  async migrate(...args: string[]): Promise<void> {
    await this.#migrate(args, undefined);
  }

  async #migrate(args: readonly string[], file: string | undefined): Promise<void> {
    const { store, redis, bus } = this.backends;
    const env = { ...this.#env, NEBULA_STORE: store, NEBULA_REDIS: redis, NEBULA_BUS: bus };
    await using program = new Program(["migrate", ...args], { env, ...(file === undefined ? {} : { file }) });
    if ((await program.exit()) !== 0) throw new Error(`nebula migrate failed:\n${program.output}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }

  async #start(): Promise<void> {
    const { shards = 2, reporters = 1 } = this.#options;
    await this.#migrate([], this.#options.file);
    this.#opened.defer(() => dropKeyspace(this.backends.store).catch(() => {})); // a test may have left the store down
    for (let i = 0; i < shards; i++) await this.#addShard({ name: `shard-${i}` });
    for (let i = 0; i < reporters; i++) this.#reporters.push(await this.#add("reporter", `reporter-${i}`, await freePort(), {}));
    const port = await freePort();
    const managers = `grpc://${this.#shards.map(({ address }) => address).join(",")}`;
    this.#gateway = await this.#add("gateway", "gateway", port, { NEBULA_HTTP_LISTEN: `127.0.0.1:${port}`, NEBULA_MANAGERS: managers });
    await Promise.all(this.members.map((member) => member.ready()));
  }

  async #addShard({ name, env = {}, wrapper = [] }: ShardOptions): Promise<Member> {
    const port = await freePort();
    const shard = await this.#add("manager", name, port, { NEBULA_SHARD: name, NEBULA_GRPC_LISTEN: `127.0.0.1:${port}`, ...env }, wrapper);
    this.#shards.push(shard);
    return shard;
  }

  async #add(part: Part, name: string, port: number, env: Readonly<Record<string, string>>, wrapper: readonly string[] = []): Promise<Member> {
    const { file, servers } = this.#options;
    const { cassandra, redis } = servers;
    const proxies =
      this.#kafka === undefined
        ? undefined
        : {
            cassandra: await FaultProxy.start({ target: cassandra.address, cuts: hasBatch }),
            redis: await FaultProxy.start({ target: redis.address }),
          };
    const metricsPort = await freePort();
    const reached = {
      NEBULA_STORE: cassandraUrl(proxies?.cassandra ?? cassandra, this.#keyspace),
      NEBULA_REDIS: redisUrl(proxies?.redis ?? redis),
      NEBULA_BUS: kafkaUrl(this.#kafka ?? this.#options.servers.kafka, this.#topic),
      NEBULA_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
    };
    return this.#opened.use(new Member({ part, name, port, metricsPort, env: { ...this.#env, ...reached, ...env }, proxies, wrapper, file }));
  }
}

/** Whether a piece of what a driver sends to Cassandra has the beginning of a batch: Nebula's conditional writes are batches. */
function hasBatch(sent: Buffer): boolean {
  const [headerBytes, opcodeAt, lengthAt, batch] = [9, 4, 5, 0x0d];
  for (let at = 0; at + headerBytes <= sent.length; at += headerBytes + sent.readUInt32BE(at + lengthAt)) {
    if (sent[at + opcodeAt] === batch) return true;
  }
  return false;
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the cluster is not up, or not proxied");
  return value;
}

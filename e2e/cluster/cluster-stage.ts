import { strict as assert } from "node:assert";
import { credentials } from "@grpc/grpc-js";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { openDrivers } from "../../common/open-drivers.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import type { TestServers } from "../../common/testing/backends.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { requireStoppableServer, type ServerKind } from "../../common/testing/servers.ts";
import type { TestContainer } from "../../common/testing/test-container.ts";
import { Api } from "../harness/api.ts";
import { Cluster } from "../harness/cluster.ts";
import type { Member } from "../harness/cluster-member.ts";
import type { FaultProxy } from "../harness/fault-proxy.ts";
import { type AppDoor, grpcDoor, httpDoor } from "./app-door.ts";
import { Trial } from "./trial.ts";

type StageOptions = Readonly<{
  /** Whether the members reach their servers through proxies that can cut. */
  proxied: boolean;
  /** The mean of the time between two changes of an app, milliseconds. */
  pauseMs: number;
}>;

/** A cluster with devices and writers, on which faults are tried: what has to hold after each is `assertWhole`. */
export class ClusterStage implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly trial: Trial;
  /** The store itself, past the API. */
  readonly store: ConfigStore;
  /** Every shard, and the gateway. */
  readonly doors: readonly AppDoor[];
  readonly #servers: TestServers;
  readonly #options: StageOptions;
  readonly #opened: AsyncDisposableStack;
  /** Apps that were made through one shard. */
  #made = 0;

  private constructor(
    started: Readonly<{ servers: TestServers; options: StageOptions; opened: AsyncDisposableStack }>,
    parts: Pick<ClusterStage, "cluster" | "trial" | "store" | "doors">,
  ) {
    this.#servers = started.servers;
    this.#options = started.options;
    this.cluster = parts.cluster;
    this.trial = parts.trial;
    this.store = parts.store;
    this.doors = parts.doors;
    this.#opened = started.opened;
  }

  /** Starts a stage on servers that faults may stop, behind proxies. Skips the suite without a Docker Engine. */
  static async start(context: Mocha.Context): Promise<ClusterStage> {
    const [cassandra, redis, kafka] = await Promise.all([
      requireStoppableServer(context, "cassandra"),
      requireStoppableServer(context, "redis"),
      requireStoppableServer(context, "kafka"),
    ]);
    return ClusterStage.startOn({ cassandra, redis, kafka }, { proxied: true, pauseMs: 4000 });
  }

  /**
   * Starts three shards, two reporters, a gateway, 200 devices in 12 groups, and the writers.
   */
  static async startOn(servers: TestServers, options: StageOptions): Promise<ClusterStage> {
    const { proxied, pauseMs } = options;
    await using opening = new AsyncDisposableStack();
    const cluster = opening.use(await Cluster.start({ servers, shards: 3, reporters: 2, proxied }));
    const [first] = cluster.shards;
    const api = opening.use(new Api(first?.address ?? "", cluster.password));
    const settings = { ...cluster.backends, reports: cluster.backends.store, dataDir: "", cacheTimeMs: 10_000, reportTtlMs: 26 * 3_600_000 };
    const { configStore: store } = opening.use(await openDrivers(["configStore"], { settings, clock: systemClock, log: silentLog }));

    const doors = [
      ...cluster.shards.map(({ name, address }) => grpcDoor(name, opening.use(new GrpcChannel(address, credentials.createInsecure())), api.headers)),
      httpDoor("gateway", `http://${cluster.gateway.address}`, api.headers),
    ];
    const trial = opening.use(
      await Trial.start({
        api,
        server: `http://${cluster.gateway.address}`,
        doors,
        store,
        devices: 200,
        groups: 12,
        fleetProcesses: 4,
        pauseMs,
      }).catch((error) => Promise.reject(new Error(`the devices are not whole; ${cluster.lastLogged}`, { cause: error }))),
    );
    return new ClusterStage({ servers, options, opened: opening.move() }, { cluster, trial, store, doors });
  }

  /** The container of a server that has one of its own. */
  container(kind: ServerKind): TestContainer {
    return this.#servers[kind].container ?? assert.fail(`${kind} has no container of its own`);
  }

  /** Makes apps through the first shard. */
  async createApps(names: readonly string[]): Promise<void> {
    const [first] = this.cluster.shards;
    using api = new Api(first?.address ?? "", this.cluster.password);
    for (const name of names) await api.createApp({ name, dockerImage: "busybox:1" });
  }

  /**
   * Ends this stage and starts another one like it, after a test that failed: a fault that took too long is still at work on this stage, and would disturb the
   * tests after it.
   */
  async replace(): Promise<ClusterStage> {
    for (const { container } of Object.values(this.#servers)) await container?.startAgain();
    await this[Symbol.asyncDispose]().catch(() => {}); // the fault stops what is closed here
    return ClusterStage.startOn(this.#servers, this.#options);
  }

  /** The shard that serves the most devices, and how many. */
  async busiestShard(): Promise<Readonly<{ shard: Member; watches: number }>> {
    const counted = await Promise.all(this.cluster.shards.map(async (shard) => ({ shard, watches: await shard.metric("nebula_watches") })));
    const [busiest] = counted.toSorted((a, b) => b.watches - a.watches);
    return busiest ?? assert.fail("there is no shard");
  }

  /** Resolves once every shard knows of all shards. */
  async knowEachOther(): Promise<void> {
    const { shards } = this.cluster;
    const known = () => Promise.all(shards.map((shard) => shard.metric("nebula_members")));
    await eventually(async () => (await known()).every((count) => count === shards.length), { timeoutMs: 120_000, everyMs: 250 });
  }

  /** Asserts that a number is larger after something than it was before, by at least `by`; it may take a while to become so. */
  async rises(what: string, measure: () => Promise<number> | number, during: () => Promise<void>, by = 1, withinMs = 60_000): Promise<void> {
    const before = await eventually(measure, { timeoutMs: 30_000, everyMs: 250 });
    await during();
    let now = before;
    await eventually(
      async () => {
        now = await measure();
        return now >= before + by;
      },
      { timeoutMs: withinMs, everyMs: 250 },
    ).catch((error) => assert.fail(`${what}: ${before} before, ${now} after, and not ${by} more (${error.cause})`));
  }

  /** Makes an app of a name that is new through this shard, and answers when the shard says that was. */
  async changedAtBy(shard: Member): Promise<number> {
    using api = new Api(shard.address, this.cluster.password);
    const name = `by-${shard.name}-${++this.#made}`;
    const { revision } = await api.createApp({ name, dockerImage: "busybox:1" });
    const stored = await this.store.get({ kind: "app", name }, { atLeast: revision });
    return stored?.changedAt ?? assert.fail(`${name} is not stored`);
  }

  /** Does something with the proxy in front of Redis of each shard. */
  async eachRedis(work: (proxy: FaultProxy) => Promise<void>): Promise<void> {
    await Promise.all(this.cluster.shards.map(({ proxies }) => work(proxies.redis)));
  }

  /** How often devices connected. */
  async connects(): Promise<number> {
    return (await this.trial.fleet.look()).connects;
  }

  /** The sum of a metric over some members of the cluster, those that run. Rejects where one of these does not answer. */
  async metric(members: readonly Member[], name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const values = await Promise.all(members.filter(({ program }) => !program.ended).map((member) => member.metric(name, labels)));
    return values.reduce((sum, value) => sum + value, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}

import { randomBytes } from "node:crypto";
import { Registry } from "prom-client";
import type { Clock } from "../clock/clock.ts";
import { systemClock } from "../clock/system-clock.ts";
import { silentLog } from "../log/log.ts";
import { createHintMetrics } from "../metrics/hint-metrics.ts";
import { type OpenedRedis, openRedis } from "../redis/open-redis.ts";
import type { ClusterIdentity } from "../storage/config-store.ts";
import { redisUrl, requireServer } from "./servers.ts";

export const TEST_CLUSTER: ClusterIdentity = { id: "0123456789abcdef0123456789abcdef", epoch: 1n };

/** A password, and a file of authorities. */
type RedisFileLogin = Readonly<{ password: string | undefined; ca: string | undefined }>;

/** One Nebula on a Redis that tests share: the names of a fresh cluster key keep others out. */
export class TestRedis implements AsyncDisposable {
  readonly url: string;
  readonly login: RedisFileLogin;
  readonly clusterKey = randomBytes(12).toString("hex");
  readonly clock: Clock;
  readonly registry = new Registry();
  readonly #metrics = createHintMetrics(this.registry);
  readonly #opened: AsyncDisposable[] = [];

  constructor(url: string, clock: Clock = systemClock, login: RedisFileLogin = { password: undefined, ca: undefined }) {
    this.url = url;
    this.clock = clock;
    this.login = login;
  }

  /** One more process, with connections of its own. */
  async open({ cluster = TEST_CLUSTER, url = this.url }: { cluster?: ClusterIdentity | undefined; url?: string } = {}): Promise<OpenedRedis> {
    const process = await openRedis({
      setting: "NEBULA_REDIS",
      url,
      ...this.login,
      clusterKey: this.clusterKey,
      cluster,
      clock: this.clock,
      log: silentLog,
      metrics: this.#metrics,
    });
    this.#opened.push(process);
    return process;
  }

  /** Returns the count under a metric's label value, over all processes. */
  async counted(metric: string, label?: string): Promise<number> {
    const found = await this.registry.getSingleMetric(metric)?.get();
    return (found?.values ?? [])
      .filter(({ labels }) => label === undefined || Object.values(labels).includes(label))
      .reduce((sum, { value }) => sum + value, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#opened.splice(0)) await process[Symbol.asyncDispose]();
  }
}

/** Two processes of one Nebula on the shared Redis, and a client of its own beside them. */
export type RedisPair<T, Client> = Readonly<{ client: Client; redis: TestRedis; one: T; other: T }>;

/** Call it in a `describe`: what it returns answers, while a test runs, a pair that was made for that test. */
export function describeRedisPair<T, Client extends { disconnect(): void }>(
  open: (process: OpenedRedis) => T,
  connect: (url: string) => Client,
): () => RedisPair<T, Client> {
  let url = "";
  let pair: RedisPair<T, Client> | undefined;
  before(async function () {
    url = redisUrl(await requireServer(this, "redis"));
  });
  beforeEach(async () => {
    const redis = new TestRedis(url);
    pair = { client: connect(url), redis, one: open(await redis.open()), other: open(await redis.open()) };
  });
  afterEach(async () => {
    pair?.client.disconnect();
    await pair?.redis[Symbol.asyncDispose]();
  });
  return () => {
    if (pair === undefined) throw new Error("no test runs");
    return pair;
  };
}

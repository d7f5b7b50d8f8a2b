import { setTimeout as delay } from "node:timers/promises";
import { Cluster, type Redis } from "ioredis";
import { endedWithin } from "../ended-within.ts";
import { messageOf, NebulaError } from "../errors/nebula-error.ts";
import type { Log } from "../log/log.ts";
import { describeTarget, type RedisTarget } from "./redis-url.ts";

/** Commands in flight; one more fails at once. */
const MOST_IN_FLIGHT = 1000;
/** Replies that say that the login, not the connection, is what is wrong. */
const REFUSED = /^(DENIED|WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password|ERR Client sent AUTH)/;

export type CommandsOptions = Readonly<{ client: Redis | Cluster; target: RedisTarget; log: Log }>;

/**
 * The connection for commands, with bounds: a command fails within a second, and at once while Redis is unreachable.
 */
export class Commands implements AsyncDisposable {
  readonly #client: Redis | Cluster;
  readonly #where: string;
  #inFlight = 0;
  #refusal: string | undefined;
  #publisher: Redis | undefined;
  #refusals = 0;

  constructor({ client, target, log }: CommandsOptions) {
    this.#client = client;
    this.#where = describeTarget(target);
    let isUp: boolean | undefined;
    const note = (up: boolean, error?: string) => {
      if (isUp === up) return;
      if (isUp !== undefined && up) log.info({ redis: this.#where }, "Redis answers again");
      if (!up) log.warn({ redis: this.#where, error }, "Redis does not answer: changes arrive by the regular check until it does");
      isUp = up;
    };
    client.on("ready", () => {
      this.#refusal = undefined;
      note(true);
    });
    let trouble: string | undefined;
    client.on("close", () => note(false, trouble));
    client.on("error", (error: unknown) => {
      trouble = messageOf(error);
      if (REFUSED.test(trouble)) this.#refusal = trouble;
    });
    client.connect().catch(() => {}); // it tries again by itself
  }

  /** Resolves when commands can be sent, or after `ms`; answers what the server said where it refuses the login. */
  async opened(ms: number): Promise<{ ready: boolean; refusal: string | undefined }> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const late = setTimeout(resolve, ms);
    const onError = () => void (this.#refusal !== undefined && resolve());
    this.#client.on("ready", resolve).on("error", onError);
    if (this.#client.status !== "ready") await promise;
    clearTimeout(late);
    this.#client.off("ready", resolve).off("error", onError);
    if (this.#client instanceof Cluster) await connectNodes(this.#client, ms);
    return { ready: this.#client.status === "ready", refusal: this.#refusal };
  }

  /**
   * Rejects with `unavailable` where Redis does not answer within a second, refuses the command, or has too many of
   * them to answer.
   */
  async run<T>(work: (client: Redis | Cluster) => Promise<T>): Promise<T> {
    if (this.#inFlight >= MOST_IN_FLIGHT) throw new NebulaError("unavailable", `Redis (${this.#where}) has ${MOST_IN_FLIGHT} commands to answer`);
    this.#inFlight++;
    try {
      return await work(this.#client);
    } catch (error) {
      throw new NebulaError("unavailable", `Redis (${this.#where}): ${messageOf(error)}`, { cause: error });
    } finally {
      this.#inFlight--;
    }
  }

  /**
   * In a cluster, always through one node while it takes messages: what goes through several may arrive in another
   * order.
   */
  publish(channel: string, message: Buffer): Promise<number> {
    return this.run(async (client) => {
      if (!(client instanceof Cluster)) return client.publish(channel, message);
      const nodes = client.nodes("master");
      const node = nodes.find((each) => each === this.#publisher) ?? nodes[this.#refusals % nodes.length];
      if (node === undefined) throw new Error("no node is known");
      this.#publisher = node;
      try {
        return await node.publish(channel, message);
      } catch (error) {
        if (this.#publisher === node) this.#refusals++; // the next one goes to another node
        this.#publisher = undefined;
        throw error;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.removeAllListeners("close"); // no warning of what is meant
    this.#client.disconnect();
  }
}

/**
 * The nodes of a cluster connect at their first command, which is too late for a cached config: here they do at once.
 */
async function connectNodes(cluster: Cluster, ms: number): Promise<void> {
  const over = new AbortController();
  const connecting = cluster.nodes("master").flatMap((node) => (node.status === "wait" ? [node.connect()] : []));
  await Promise.race([Promise.allSettled(connecting), delay(ms, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
}

/** The answer of commands; undefined where they fail, or do not answer within `ms`: nobody waits longer for a hint. */
export async function answerWithin<T>(asked: Promise<T>, ms: number): Promise<T | undefined> {
  try {
    return (await endedWithin(asked, ms)) ? await asked : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The subscription to channels, on a connection of its own.
 *
 * S1 It proves itself: every PROOF_MS it publishes a sealed message to itself; after MISSES of them that did not arrive
 *    it connects again. So a half-open connection, or a server that delivers nothing any more, is noticed within 12 s.
 * S2 After a connection that broke, `gap` is called once all channels are subscribed again: what was published in
 *    between is lost, what is published from then on is not. The same after a first connection that came later than the
 *    start.
 * S3 It connects again within a second, with jitter, until it is closed.
 * S4 It can be closed at any time, also while it connects: the connection that is being made is closed too.
 */
import type { Redis } from "ioredis";
import type { Clock } from "../clock/clock.ts";
import { messageOf } from "../errors/nebula-error.ts";
import type { Log } from "../log/log.ts";
import { COMMAND_MS, reconnectMs } from "./connections.ts";
import type { HintSeal } from "./hint-seal.ts";

const PROOF_MS = 3000;
const MISSES = 3;

export type SubscriptionOptions = Readonly<{
  /** Opens one connection, which never connects again by itself. */
  connect: (attempt: number) => Redis;
  seal: HintSeal;
  /** Publishes on a channel; it may reject. */
  publish: (channel: string, message: Buffer) => Promise<unknown>;
  onMessage: (channel: string, message: Buffer) => void;
  onGap: () => void;
  clock: Clock;
  log: Log;
}>;

export class Subscription implements AsyncDisposable {
  readonly #options: SubscriptionOptions;
  readonly #proofChannel: string;
  /** How often each channel is wanted. */
  readonly #channels = new Map<string, number>();
  readonly #life = new AbortController();
  readonly #running: Promise<void>;
  #connection: Redis | undefined;
  /** The sequence of the newest message to itself that arrived. */
  #proven = 0n;
  #isLate = false;
  #whole = Promise.withResolvers<void>();

  /** @param channels subscribed from the start */
  constructor(options: SubscriptionOptions, channels: readonly string[]) {
    this.#options = options;
    this.#proofChannel = `${options.seal.prefix}proof:${options.seal.boot}`;
    for (const channel of [...channels, this.#proofChannel]) this.#channels.set(channel, 1);
    this.#running = this.#run();
  }

  /** Resolves when all channels are subscribed, or after a second. */
  async whole(): Promise<void> {
    if (!(await within(COMMAND_MS, this.#whole.promise))) this.#isLate = true;
  }

  /** Subscribes one more channel; resolves once it is, or after a second: then a gap follows. */
  async add(channel: string): Promise<Disposable> {
    const count = (this.#channels.get(channel) ?? 0) + 1;
    this.#channels.set(channel, count);
    if (count === 1) await within(COMMAND_MS, this.#subscribeNow([channel]));
    else await this.whole();
    let ended = false;
    return {
      [Symbol.dispose]: () => {
        if (!ended) this.#remove(channel);
        ended = true;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort(); // S4
    await this.#running;
  }

  #remove(channel: string): void {
    const left = (this.#channels.get(channel) ?? 1) - 1;
    if (left > 0) {
      this.#channels.set(channel, left);
      return;
    }
    this.#channels.delete(channel);
    this.#connection?.unsubscribe(channel).catch(() => {}); // what still arrives is for nobody
  }

  /**
   * On the present connection, or the next one. A connection that does not take it is given up, and all of them
   * subscribe on the next (S2).
   */
  async #subscribeNow(channels: readonly string[]): Promise<void> {
    await this.#whole.promise;
    const [connection, wanted] = [this.#connection, channels.filter((channel) => this.#channels.has(channel))];
    if (wanted.length > 0) await connection?.subscribe(...wanted).catch(() => connection.disconnect());
  }

  async #run(): Promise<void> {
    const { clock, onGap, log } = this.#options;
    const { signal } = this.#life;
    let isDown = false;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const broken = await this.#connectOnce(attempt, () => {
        if (isDown) log.info("the change feed is whole again: all that is watched is checked");
        if (attempt > 0 || this.#isLate) onGap(); // S2
        this.#isLate = false;
        isDown = false;
      });
      if (signal.aborted) return;
      if (!isDown) log.warn({ reason: broken }, "the change feed is broken: it connects again, and the regular check finds changes meanwhile");
      isDown = true;
      await clock.sleep(reconnectMs(), signal).catch(() => {}); // S3
    }
  }

  /** Answers why the connection ended. */
  async #connectOnce(attempt: number, onWhole: () => void): Promise<string> {
    const connection = this.#options.connect(attempt);
    const ended = new Promise<void>((resolve) => connection.once("end", () => resolve()));
    let reason = "the connection ended";
    connection.on("error", (error: unknown) => {
      reason = messageOf(error);
    });
    connection.on("messageBuffer", (channel: Buffer, message: Buffer) => this.#onMessage(channel.toString(), message));
    const over = new AbortController();
    const close = () => connection.disconnect();
    this.#life.signal.addEventListener("abort", close, { once: true }); // S4
    try {
      await connection.connect();
      const wanted = [...this.#channels.keys()];
      await connection.subscribe(...wanted);
      const missed = [...this.#channels.keys()].filter((channel) => !wanted.includes(channel));
      if (missed.length > 0) await connection.subscribe(...missed);
      this.#connection = connection;
      this.#whole.resolve();
      onWhole();
      const proven = this.#prove(over.signal);
      const isProven = await Promise.race([ended.then(() => true), proven.then(() => false)]);
      if (!isProven) reason = `${MISSES} messages to itself did not arrive`;
    } catch (error) {
      reason = messageOf(error);
    } finally {
      over.abort();
      this.#life.signal.removeEventListener("abort", close);
      if (this.#connection !== undefined) this.#whole = Promise.withResolvers();
      this.#connection = undefined;
      connection.disconnect();
      await ended;
    }
    return reason;
  }

  #onMessage(channel: string, message: Buffer): void {
    const { seal, onMessage } = this.#options;
    if (channel !== this.#proofChannel) {
      onMessage(channel, message);
      return;
    }
    const opened = seal.open("proof", message);
    if (opened?.boot === seal.boot && opened.sequence > this.#proven) this.#proven = opened.sequence;
  }

  /** S1: resolves when the subscription delivers nothing any more, or the signal is aborted. */
  async #prove(signal: AbortSignal): Promise<void> {
    const { clock, publish, seal } = this.#options;
    for (let misses = 0; misses < MISSES && !signal.aborted; ) {
      const before = this.#proven;
      publish(this.#proofChannel, seal.seal("proof", Buffer.alloc(0))).catch(() => {}); // a miss
      await clock.sleep(PROOF_MS, signal).catch(() => {});
      misses = this.#proven > before ? 0 : misses + 1;
    }
  }
}

/** Answers whether the work was done in time. */
async function within(ms: number, work: Promise<void>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<false>();
  const late = setTimeout(() => resolve(false), ms);
  const isDone = await Promise.race([work.then(() => true), promise]);
  clearTimeout(late);
  return isDone;
}

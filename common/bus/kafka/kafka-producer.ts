import type { Clock } from "../../clock/clock.ts";
import { messageOf, NebulaError } from "../../errors/nebula-error.ts";
import type { Log } from "../../log/log.ts";
import type { BusRecord } from "../report-bus.ts";
import { closed, kafkaFailure, orAborted, REQUEST_LIMIT_MS } from "./kafka-client.ts";
import type { KafkaMetrics } from "./kafka-metrics.ts";
import { CompressionTypes, type Kafka, Partitioners } from "./kafkajs-guards.ts";

// Gathers published records and sends them in two lanes, one batch after another in each: one lane's batch is made while the other's is on its way.
//
// P1: a key has one lane, in which one batch is on its way at a time and is repeated before the next one is sent: so records of one key are in the log first in
//     the order of their publishes. A repeat of a batch may follow; readers know its records by their numbers.
// P2: a record is acknowledged when the answer names its partition. kafkajs leaves out, without an error, partitions whose leader changed between two attempts;
//     it makes one attempt here, and the repeats are ours.
// P3: at most 10,000 records and 64 MiB wait or are on their way; a record waits at most 10 s. Beyond each, its publisher hears `unavailable`.
// P4: a producer that failed is replaced: the next attempt begins with a connection and metadata of its own.

const LANES = 2;
const GATHER_MS = 5;
const BATCH_RECORDS = 500;
/** Bytes of a batch before compression, unless it is one record: a topic takes 1 MiB for each partition. */
const BATCH_BYTES = 900_000;
const MOST_RECORDS = 10_000;
const MOST_BYTES = 64 * 1024 * 1024;
const DELIVERY_LIMIT_MS = 10_000;
const RETRY_FIRST_MS = 50;
const RETRY_LONGEST_MS = 1_000;

/** Bytes that a record costs besides its key and value. */
const OVERHEAD = 100;

type ProducerConfig = NonNullable<Parameters<Kafka["producer"]>[0]>;
type Producer = Pick<ReturnType<Kafka["producer"]>, "connect" | "disconnect" | "sendBatch">;

export type KafkaProducerOptions = Readonly<{
  kafka: Readonly<{ producer(config: ProducerConfig): Producer }>;
  topic: string;
  clock: Clock;
  log: Log;
  metrics: KafkaMetrics;
}>;

export type KafkaProducer = AsyncDisposable & { publish(record: BusRecord, signal: AbortSignal): Promise<void> };

type Message = { key: string | null; value: Buffer };
/** A published record until its publisher has an answer. */
type Entry = { message: Message; bytes: number; since: number; settled: boolean; resolve: () => void; reject: (reason: unknown) => void };

/** A connected producer of kafkajs, and the partition that it chose for each message. */
type Connected = Readonly<{ producer: Producer; partitions: WeakMap<object, number> }>;

/** A producer of reports; it connects with its first record. */
export function createKafkaProducer(options: KafkaProducerOptions): KafkaProducer {
  const { clock, metrics } = options;
  let bytes = 0; // of all that wait or are on their way
  let records = 0;
  const closing = new AbortController();
  const lanes = Array.from({ length: LANES }, () => createLane(options, closing.signal));
  metrics.countQueued(() => records);

  function publish({ key, value }: BusRecord, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (closing.signal.aborted) return Promise.reject(unavailable("the report bus is closed"));
    if (records >= MOST_RECORDS || bytes >= MOST_BYTES) {
      metrics.refused.inc();
      return Promise.reject(unavailable(`the report bus is full (${records} records wait): send the newest report again later`)); // P3
    }
    const lane = lanes[laneOf(key)];
    if (lane === undefined) return Promise.reject(new NebulaError("internal", "a key has no lane"));
    return new Promise((resolve, reject) => {
      const size = value.length + (key?.length ?? 0) + OVERHEAD;
      const settle = (end: () => void) => {
        if (entry.settled) return;
        entry.settled = true;
        signal.removeEventListener("abort", onAbort);
        lane.forget(entry);
        bytes -= size;
        records -= 1;
        end();
      };
      const entry: Entry = {
        message: { key, value: Buffer.from(value.buffer, value.byteOffset, value.byteLength) },
        bytes: size,
        since: clock.monotonic(),
        settled: false,
        resolve: () => settle(resolve),
        reject: (reason) => settle(() => reject(reason)),
      };
      // A record that is on its way may arrive all the same: its publisher only stops waiting.
      const onAbort = () => entry.reject(signal.reason);
      signal.addEventListener("abort", onAbort);
      bytes += size;
      records += 1;
      lane.add(entry);
    });
  }

  return {
    publish,
    async [Symbol.asyncDispose]() {
      closing.abort(unavailable("the report bus is closed"));
      await Promise.all(lanes.map((lane) => lane[Symbol.asyncDispose]()));
    },
  };
}

/** A key's lane, always the same (P1); records without a key have no order. */
function laneOf(key: string | null): number {
  let hash = 0;
  for (let at = 0; at < (key?.length ?? 0); at++) hash = (hash * 31 + (key?.charCodeAt(at) ?? 0)) | 0;
  return (hash >>> 0) % LANES;
}

type Lane = AsyncDisposable & Readonly<{ add(entry: Entry): void; forget(entry: Entry): void }>;

function createLane({ kafka, topic, clock, log, metrics }: KafkaProducerOptions, closing: AbortSignal): Lane {
  const waiting = new Set<Entry>(); // in order of insertion (P1)
  let batch: readonly Entry[] = [];
  let connected: Connected | undefined;
  let failing = false;
  let wake = () => {};

  function takeBatch(): readonly Entry[] {
    const taken: Entry[] = [];
    let size = 0;
    for (const entry of waiting) {
      if (taken.length >= BATCH_RECORDS || (taken.length > 0 && size + entry.bytes > BATCH_BYTES)) break;
      size += entry.bytes;
      taken.push(entry);
    }
    for (const entry of taken) waiting.delete(entry);
    return taken;
  }

  /** Waits for a record, and then for others until the first has waited GATHER_MS or a batch is full. */
  async function gathered(signal: AbortSignal): Promise<void> {
    while (waiting.size === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await orAborted(promise, signal);
    }
    const [first] = waiting;
    const left = GATHER_MS - (clock.monotonic() - (first?.since ?? 0));
    if (left <= 0 || waiting.size >= BATCH_RECORDS) return;
    const full = new AbortController();
    wake = () => {
      if (waiting.size >= BATCH_RECORDS) full.abort();
    };
    await clock.sleep(left, AbortSignal.any([signal, full.signal])).catch(() => {});
    signal.throwIfAborted();
  }

  async function connect(): Promise<Connected> {
    const partitions = new WeakMap<object, number>();
    const choose = Partitioners.DefaultPartitioner();
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      retry: { retries: 0 }, // P2
      createPartitioner: () => (args) => {
        const partition = choose(args);
        partitions.set(args.message, partition);
        return partition;
      },
    });
    connected = { producer, partitions };
    await producer.connect();
    return connected;
  }

  /** Sends the entries once; answers those that were acknowledged (P2). */
  async function attempt(entries: readonly Entry[]): Promise<readonly Entry[]> {
    const { producer, partitions } = connected ?? (await connect());
    const messages = entries.map(({ message }) => ({ ...message }));
    const topicMessages = [{ topic, messages }];
    const answers = await producer.sendBatch({ acks: -1, timeout: REQUEST_LIMIT_MS - 1_000, compression: CompressionTypes.GZIP, topicMessages });
    const acknowledged = new Set(answers.flatMap(({ partition, errorCode }) => (errorCode === 0 ? [partition] : [])));
    return entries.filter((_entry, index) => acknowledged.has(partitions.get(messages[index] ?? {}) ?? -1));
  }

  /** Sends a batch until each of its records is acknowledged or given up (P1). */
  async function deliver(entries: readonly Entry[], signal: AbortSignal): Promise<void> {
    let left = entries;
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(waitMs * 2, RETRY_LONGEST_MS)) {
      left = left.filter(({ settled }) => !settled);
      if (left.length === 0) return;
      try {
        const done = await orAborted(attempt(left), signal);
        for (const entry of done) entry.resolve();
        metrics.published.inc(done.length);
        if (failing) log.info({ topic }, "reports are published again");
        failing = false;
      } catch (error) {
        if (signal.aborted) throw error;
        discard(); // P4
        const failure = kafkaFailure(error);
        if (failure === undefined) throw error;
        metrics.publishFailures.inc();
        if (!failing) log.warn({ topic, error: failure.text }, "reports cannot be published");
        failing = true;
        if (failure.kind === "too_large") return sendApart(left, signal);
        giveUp(left, failure.kind === "unreachable" ? DELIVERY_LIMIT_MS : 0, failure.text);
      }
      if (left.every(({ settled }) => settled)) return;
      await clock.sleep(waitMs, signal);
    }
  }

  /** Sends the halves of a batch that a broker finds too large, and refuses a record that alone is. */
  async function sendApart(entries: readonly Entry[], signal: AbortSignal): Promise<void> {
    const [only] = entries;
    if (entries.length === 1 && only !== undefined) {
      const why = `the topic ${topic} takes no record of ${only.message.value.length} bytes; raise its max.message.bytes to 1048588`;
      only.reject(new NebulaError("failed_precondition", why));
      return;
    }
    const middle = Math.ceil(entries.length / 2);
    await deliver(entries.slice(0, middle), signal);
    await deliver(entries.slice(middle), signal);
  }

  function giveUp(entries: Iterable<Entry>, olderThanMs: number, why: string): void {
    const now = clock.monotonic();
    for (const entry of entries) if (now - entry.since >= olderThanMs) entry.reject(unavailable(`Kafka took no report: ${why}`));
  }

  function discard(): void {
    if (connected !== undefined) void closed(connected.producer.disconnect());
    connected = undefined;
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await gathered(signal);
        batch = takeBatch();
        await deliver(batch, signal);
      } catch (error) {
        for (const entry of batch) entry.reject(signal.aborted ? unavailable("the report bus is closed") : error);
        if (!signal.aborted) log.error({ topic, error: messageOf(error) }, "publishing reports failed");
      } finally {
        batch = [];
      }
      giveUp(waiting, DELIVERY_LIMIT_MS, "other reports wait for an answer too");
    }
  }

  const running = run(closing);
  return {
    add(entry) {
      waiting.add(entry);
      wake();
    },
    forget: (entry) => void waiting.delete(entry),
    async [Symbol.asyncDispose]() {
      for (const entry of [...batch, ...waiting]) entry.reject(unavailable("the report bus is closed"));
      await running;
      if (connected !== undefined) await closed(connected.producer.disconnect());
      connected = undefined;
    },
  };
}

function unavailable(message: string): NebulaError {
  return new NebulaError("unavailable", message);
}

import type { Clock } from "../../clock/clock.ts";
import { NebulaError } from "../../errors/nebula-error.ts";
import type { Log } from "../../log/log.ts";
import { handleBatch } from "../handle-batch.ts";
import type { BatchHandler, BusMessage, ConsumeOptions } from "../report-bus.ts";
import { closed, kafkaFailure, orAborted, SHORT_RETRY } from "./kafka-client.ts";
import type { KafkaMetrics } from "./kafka-metrics.ts";
import { type Kafka, type MemberMemory, roundRobinWith } from "./kafkajs-guards.ts";
import type { FetchedRecord } from "./record-sets.ts";

// A member of the consumer group that folds reports.
//
// C1: an offset is committed after the handler resolved for all records below it, and kafkajs commits none by itself.
// C2: a handler that waits for its store costs no rebalance: the batch is repeated inside the member, which keeps sending heartbeats.
// C3: when the group takes the partitions away, or no heartbeat was answered for a session, the signal of each running handler is aborted: the handler stops
//     before its next write, and nothing of its batch is committed.
// C4: a record that cannot be decoded is put aside with its offset, and the partition moves on.
// C5: a member that failed for good rejects; it reads nothing afterwards.
// C6: a batch that was under way for long when its partition was lost is handed over again in halves: as a whole it may never be done within a membership.

/** Rebalances wait until each member has noticed: a heartbeat a second keeps that short. */
const HEARTBEAT_MS = 1_000;
const SESSION_MS = 10_000;
/** How long a batch may go on without an answer to a heartbeat: less than a session, because then the partition has another reader. */
const SILENCE_MS = 8_000;
/** How long a rebalance waits for members whose handlers are still stopping, milliseconds. */
const REBALANCE_MS = 30_000;
const FETCH_WAIT_MS = 500;
const FETCH_BYTES = 10 * 1024 * 1024;
const PARTITION_BYTES = 1024 * 1024;
/** Partitions handled at a time; each waits for the store most of its time. */
const CONCURRENT_PARTITIONS = 16;
/** The largest batch of a handler: it bounds a transaction of the store. */
const BATCH_RECORDS = 500;
/** A batch that takes less fits into a membership, also at twice its size and on a slower day. Milliseconds. */
const FITTING_MS = SESSION_MS / 4;
/** How long a member may take to leave, milliseconds: a little longer than a batch may take after a stop. */
const LEAVE_LIMIT_MS = 12_000;

export type KafkaConsumerOptions = Readonly<{
  kafka: Kafka;
  topic: string;
  groupId: string;
  clock: Clock;
  log: Log;
  metrics: KafkaMetrics;
  /** The memory that a consumer that failed leaves to its successor. */
  memory: MemberMemory;
  limit: BatchLimit;
  /** Keeps a record that cannot be decoded (C4). */
  putAside(message: BusMessage, reason: string, signal: AbortSignal): Promise<void>;
}>;

/** How many records a batch has at most (C6), for all consumers of a bus, one after the other. */
export class BatchLimit {
  #records = BATCH_RECORDS;

  get records(): number {
    return this.#records;
  }

  /** Halves a batch whose partition was lost while it was under way; several of one size that were lost at once count as one. */
  lost(records: number, tookMs: number): void {
    if (tookMs >= FITTING_MS) this.#records = Math.max(1, Math.min(this.#records, Math.floor(records / 2)));
  }

  /** Doubles the limit after a batch that reached it, and was done soon. */
  done(records: number, tookMs: number): void {
    if (records >= this.#records && tookMs < FITTING_MS) this.#records = Math.min(BATCH_RECORDS, 2 * this.#records);
  }
}

type Consumer = ReturnType<Kafka["consumer"]>;
type Payload = Parameters<NonNullable<NonNullable<Parameters<Consumer["run"]>[0]>["eachBatch"]>>[0];

/** Reads the topic as a member of its group until the signal is aborted, and resolves then; rejects when the member failed (C5). */
export async function consumeKafka(options: KafkaConsumerOptions, handler: BatchHandler, { signal, onJoined, turn }: ConsumeOptions): Promise<void> {
  const { kafka, topic, groupId, log, metrics, memory } = options;
  if (signal.aborted) return;
  const consumer = kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    heartbeatInterval: HEARTBEAT_MS,
    sessionTimeout: SESSION_MS,
    rebalanceTimeout: REBALANCE_MS,
    maxWaitTimeInMs: FETCH_WAIT_MS,
    maxBytes: FETCH_BYTES,
    maxBytesPerPartition: PARTITION_BYTES,
    partitionAssigners: [roundRobinWith(memory)],
    metadataMaxAge: 60_000,
    retry: SHORT_RETRY,
  });
  const crashed = new AbortController();
  const ended = new AbortController();
  const over = AbortSignal.any([signal, crashed.signal, ended.signal]);
  let joins = 0;
  consumer.on(consumer.events.CRASH, ({ payload }) => crashed.abort(payload.error));
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const partitions = payload.memberAssignment[topic] ?? [];
    log.info({ topic, groupId, partitions: partitions.length }, "joined the readers of reports");
    metrics.rebalances.inc();
    memory.id = payload.memberId;
    metrics.lag.reset();
    for (const partition of partitions) metrics.lag.set({ partition }, 0);
    if (++joins === 1) onJoined?.();
  });
  const inTurn: BatchHandler = async (batch, ends) => {
    await turn?.(ends);
    await handler(batch, ends);
  };
  const batches = createBatchRunner(options, inTurn, { stop: signal, crashed: crashed.signal, over });
  const started = start(consumer, topic, batches);
  try {
    await orAborted(started, over);
    await orAborted(new Promise<never>(() => {}), over);
  } catch (error) {
    if (signal.aborted)
      memory.id = undefined; // it leaves the group
    else throw failureOf(crashed.signal.aborted ? crashed.signal.reason : error);
  } finally {
    ended.abort(new Error("the member has ended")); // C5: what kafkajs still fetches is not handled
    // A start that is still under way joins after all: it leaves then.
    const left = consumer
      .disconnect()
      .then(() => started.catch(() => {}))
      .then(() => consumer.disconnect());
    await closed(left, LEAVE_LIMIT_MS);
    metrics.lag.reset();
  }
}

async function start(consumer: Consumer, topic: string, eachBatch: (payload: Payload) => Promise<void>): Promise<void> {
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, partitionsConsumedConcurrently: CONCURRENT_PARTITIONS, eachBatch });
}

/** Returns the error that an operator reads of a member that failed; another error than Kafka's passes unchanged. */
function failureOf(error: unknown): unknown {
  const failure = kafkaFailure(error);
  return failure === undefined ? error : new NebulaError("unavailable", `reading reports from Kafka failed: ${failure.text}`, { cause: error });
}

type Ends = Readonly<{ stop: AbortSignal; crashed: AbortSignal; over: AbortSignal }>;

function createBatchRunner(options: KafkaConsumerOptions, handler: BatchHandler, { stop, crashed, over }: Ends) {
  const { topic, clock, log, metrics, limit, putAside } = options;

  async function handle(batch: readonly BusMessage[], unreadable: readonly Unreadable[], signal: AbortSignal): Promise<void> {
    for (const { message, reason } of unreadable) await putAside(message, reason, signal); // C4
    if (batch.length > 0) await handler(batch, signal);
  }

  /** Sends heartbeats until the batch is done; aborts `lost` when the membership has ended, or may have (C2, C3). */
  function keepMembership(heartbeat: () => Promise<void>, lost: AbortController, done: AbortSignal): void {
    let answered = clock.monotonic();
    const beat = async () => {
      while (!done.aborted) {
        const sent = clock.monotonic();
        try {
          await heartbeat();
          answered = sent;
        } catch (error) {
          if (endsMembership(error)) return lost.abort(error);
        }
        await clock.sleep(HEARTBEAT_MS, done);
      }
    };
    // A heartbeat without an answer may take as long as a request may, which is too long here.
    const watch = async () => {
      for (let left = SILENCE_MS; left > 0; left = answered + SILENCE_MS - clock.monotonic()) await clock.sleep(left, done);
      lost.abort(new Error("no broker answered a heartbeat"));
    };
    for (const loop of [beat, watch]) loop().catch(() => {}); // the batch is done
  }

  return async ({ batch, heartbeat, resolveOffset, commitOffsetsIfNecessary, isRunning, isStale }: Payload): Promise<void> => {
    const { partition } = batch;
    const records: readonly (typeof batch.messages)[number][] = batch.messages;
    for (let at = 0, part = records; at < records.length && isRunning() && !isStale() && !over.aborted; at += part.length) {
      part = records.slice(at, at + limit.records);
      const last = at + part.length >= records.length ? batch.lastOffset() : (part.at(-1)?.offset ?? batch.lastOffset());
      const { readable, unreadable } = sort(part, partition);
      const lost = new AbortController();
      const gone = AbortSignal.any([lost.signal, crashed]);
      const done = new AbortController();
      keepMembership(heartbeat, lost, done.signal);
      const began = clock.monotonic();
      try {
        const onRepeat = () => metrics.repeats.inc();
        await handleBatch((all, signal) => handle(all, unreadable, signal), readable, { clock, stop, lost: gone, onRepeat });
        gone.throwIfAborted(); // C3
        const partitions = [{ partition, offset: String(BigInt(last) + 1n) }];
        await commitOffsetsIfNecessary({ topics: [{ topic, partitions }] }); // C1
      } catch (error) {
        if (gone.aborted) limit.lost(part.length, clock.monotonic() - began); // C6
        // kafkajs joins again for its own errors of a membership, and so must see them.
        if (lost.signal.aborted) log.info({ partition, offset: part[0]?.offset }, "a partition was lost, and its batch is left to its next reader");
        throw lost.signal.aborted ? lost.signal.reason : error;
      } finally {
        done.abort();
      }
      limit.done(part.length, clock.monotonic() - began);
      resolveOffset(last);
      metrics.batchRecords.observe(part.length);
      metrics.newest.set(Number(part.at(-1)?.timestamp ?? 0) / 1000);
      metrics.lag.set({ partition }, Number(BigInt(batch.highWatermark) - 1n - BigInt(last)));
    }
  };
}

const MEMBERSHIP_ENDS = ["REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "NOT_COORDINATOR_FOR_GROUP", "FENCED_INSTANCE_ID"];

function endsMembership(error: unknown): boolean {
  return error instanceof Error && "type" in error && typeof error.type === "string" && MEMBERSHIP_ENDS.includes(error.type);
}

type Unreadable = Readonly<{ message: BusMessage; reason: string }>;

function sort(records: readonly (Payload["batch"]["messages"][number] & Pick<FetchedRecord, "unreadable">)[], partition: number) {
  const readable: BusMessage[] = [];
  const unreadable: Unreadable[] = [];
  for (const { key, value, timestamp, offset, unreadable: reason } of records) {
    const position = { partition, offset: BigInt(offset) };
    const message = { key: key?.toString() ?? null, value: value ?? new Uint8Array(), timestampMs: Number(timestamp), position };
    if (reason === undefined) readable.push(message);
    else unreadable.push({ message, reason });
  }
  return { readable, unreadable };
}

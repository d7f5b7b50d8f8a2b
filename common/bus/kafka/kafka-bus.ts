import type { Registry } from "prom-client";
import type { Clock } from "../../clock/clock.ts";
import { NebulaError } from "../../errors/nebula-error.ts";
import type { Log } from "../../log/log.ts";
import type { BackendLogin } from "../../settings/settings.ts";
import type { BusMessage, ReportBus } from "../report-bus.ts";
import { closed, createKafka, kafkaFailure, orAborted } from "./kafka-client.ts";
import { BatchLimit, consumeKafka } from "./kafka-consumer.ts";
import { type KafkaLogin, readLogin } from "./kafka-login.ts";
import { createKafkaMetrics } from "./kafka-metrics.ts";
import { createKafkaProducer } from "./kafka-producer.ts";
import { announcedTopics, deadTopicOf, groupIdOf, migrateTopics, readCluster, readDetails } from "./kafka-topic.ts";
import { type KafkaAddress, parseKafkaUrl } from "./kafka-url.ts";
import type { Kafka, MemberMemory } from "./kafkajs-guards.ts";

export type KafkaBusOptions = Readonly<{
  /** kafka://host:9092,host2:9092/nebula-reports */
  url: string;
  login: KafkaLogin;
  clock: Clock;
  log: Log;
  registry: Registry;
  signal?: AbortSignal;
}>;

type FromSettings<Options> = Omit<Options, "login"> & Readonly<{ login: BackendLogin }>;

/** Opens the report bus with the files that the settings name. */
export async function openReportBus(options: FromSettings<KafkaBusOptions>): Promise<ReportBus> {
  return openKafkaBus({ ...options, login: await readLogin(options.login) });
}

/** Makes and changes the topics of reports with the files that the settings name. */
export async function migrateReportBus(options: FromSettings<MigrateKafkaOptions>): Promise<void> {
  await migrateKafka({ ...options, login: await readLogin(options.login) });
}

/** The longest part of a dead record's value that is kept. */
const LARGEST_DEAD = 3 * 1024 * 1024;
/** How long the start waits for an answer. */
const FIRST_LOOK_MS = 5_000;
const NEVER = new AbortController().signal;

/**
 * Opens the report bus on Kafka, also while the cluster is unreachable: reports are refused, and the reader waits, until the cluster answers.
 * @throws NebulaError invalid_argument for a URL that is not valid; failed_precondition where the login is refused or a topic is missing
 */
export async function openKafkaBus({ url, login, clock, log, registry, signal }: KafkaBusOptions): Promise<ReportBus> {
  const address = parseKafkaUrl(url);
  const { topic } = address;
  const kafka = createKafka(address, login, log);
  const metrics = createKafkaMetrics(registry);
  await firstLook(kafka, address, { clock, log, signal });
  const closing = new AbortController();
  const producer = createKafkaProducer({ kafka, topic, clock, log, metrics });
  const consuming = new Set<Promise<void>>();
  const memory: MemberMemory = { id: undefined };
  const limit = new BatchLimit();
  let dead: Promise<ReturnType<Kafka["producer"]>> | undefined;

  async function connectDead(): Promise<ReturnType<Kafka["producer"]>> {
    const connecting = kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    });
    await connecting.connect();
    return connecting;
  }

  /** The next record gets a connection of its own. */
  async function discardDead(): Promise<void> {
    const discarded = dead;
    dead = undefined;
    await closed((async () => (await discarded)?.disconnect())());
  }

  async function sendDead({ key, value, timestampMs, position }: BusMessage, reason: string): Promise<void> {
    dead ??= connectDead();
    const connected = await dead;
    const kept = Buffer.from(value.subarray(0, LARGEST_DEAD));
    const headers = {
      reason,
      topic,
      timestamp: String(timestampMs),
      ...(position === undefined ? {} : { partition: String(position.partition), offset: String(position.offset) }),
      ...(kept.length < value.length ? { "truncated-from": String(value.length) } : {}),
    };
    const messages = [{ key, value: kept, headers, partition: position?.partition ?? 0 }];
    await connected.send({ topic: deadTopicOf(topic), acks: -1, messages });
  }

  const bus: ReportBus = {
    publish: producer.publish,

    async consume(handler, { signal: stop, onJoined }) {
      if (closing.signal.aborted) throw new NebulaError("unavailable", "the report bus is closed");
      if (consuming.size > 0) throw new NebulaError("failed_precondition", "the report bus of this process has a consumer already: it takes one");
      const ends = AbortSignal.any([stop, closing.signal]);
      if (ends.aborted) return;
      const read = async () => {
        await announcedTopics(() => orAborted(reachable(readCluster(kafka, topic)), ends), { topic, clock, signal: ends });
        const options = { kafka, topic, groupId: groupIdOf(topic), clock, log, metrics, memory, limit, putAside: bus.publishDead };
        await consumeKafka(options, handler, onJoined === undefined ? { signal: ends } : { signal: ends, onJoined });
      };
      const reading = read().catch((error: unknown) => {
        if (!ends.aborted) throw error;
      });
      consuming.add(reading);
      await reading.finally(() => consuming.delete(reading));
    },

    async publishDead(message, reason, publishSignal) {
      const { key, position } = message;
      const where = { key, partition: position?.partition, offset: position === undefined ? undefined : String(position.offset) };
      try {
        await orAborted(sendDead(message, reason), publishSignal);
        metrics.dead.inc();
      } catch (error) {
        const failure = kafkaFailure(error);
        if (failure === undefined) throw error;
        void discardDead();
        if (failure.kind === "unreachable")
          throw new NebulaError("unavailable", `a record could not be put aside: ${failure.text}`, { cause: error });
        // A topic that is missing or refuses must not stop the partition.
        metrics.deadLost.inc();
        log.error({ ...where, reason, error: failure.text }, `a record cannot be read, and the topic ${deadTopicOf(topic)} does not take it`);
      }
    },

    async [Symbol.asyncDispose]() {
      closing.abort(new NebulaError("cancelled", "the report bus is closed"));
      await Promise.allSettled(consuming);
      await producer[Symbol.asyncDispose]();
      await discardDead();
    },
  };
  return bus;
}

export type MigrateKafkaOptions = Pick<KafkaBusOptions, "url" | "login" | "clock" | "log"> & Readonly<{ signal: AbortSignal }>;

/** Makes and changes the topics of reports, for `nebula migrate`. */
export async function migrateKafka({ url, login, clock, log, signal }: MigrateKafkaOptions): Promise<void> {
  const address = parseKafkaUrl(url);
  await orAborted(reachable(migrateTopics(createKafka(address, login, log), address, { clock, log, signal })), signal);
}

type FirstLook = Pick<KafkaBusOptions, "clock" | "log"> & Readonly<{ signal: AbortSignal | undefined }>;

async function firstLook(kafka: Kafka, { brokers, topic }: KafkaAddress, { clock, log, signal = NEVER }: FirstLook): Promise<void> {
  const late = new NebulaError("unavailable", `no answer within ${FIRST_LOOK_MS / 1000} s`);
  async function inTime<T>(call: Promise<T>): Promise<T> {
    const limit = AbortSignal.timeout(FIRST_LOOK_MS);
    return await orAborted(reachable(call), AbortSignal.any([signal, limit])).catch((error: unknown) => {
      throw limit.aborted ? late : error;
    });
  }
  try {
    const cluster = await announcedTopics(() => inTime(readCluster(kafka, topic)), { topic, clock, signal });
    const { nodes, minInSync } = await inTime(readDetails(kafka, topic));
    const { partitions, replicas } = cluster.reports ?? {};
    log.info({ nodes, topic, partitions, replicas, minInSync, acks: "all" }, "Kafka answers");
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof NebulaError && error.kind === "unavailable")) throw error;
    const why = error instanceof Error ? error.message : String(error);
    log.warn({ brokers, error: why }, "Kafka is unreachable: reports are refused until it answers");
  }
}

/** Maps Kafka's own errors of a call at the start. */
async function reachable<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const failure = kafkaFailure(error);
    if (failure === undefined) throw error;
    if (failure.kind === "unreachable") throw new NebulaError("unavailable", `Kafka is unreachable: ${failure.text}`, { cause: error });
    throw new NebulaError("failed_precondition", `Kafka refused: ${failure.text}; see docs/kafka.md for the rights that Nebula needs`, {
      cause: error,
    });
  }
}

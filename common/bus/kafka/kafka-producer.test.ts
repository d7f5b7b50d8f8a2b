import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { ManualClock } from "../../clock/manual-clock.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { silentLog } from "../../log/log.ts";
import { createKafkaMetrics } from "./kafka-metrics.ts";
import { createKafkaProducer, type KafkaProducerOptions } from "./kafka-producer.ts";

const never = new AbortController().signal;
type Producer = ReturnType<KafkaProducerOptions["kafka"]["producer"]>;
type Batch = Parameters<Producer["sendBatch"]>[0];
type Answers = Awaited<ReturnType<Producer["sendBatch"]>>;

/** An error as kafkajs throws them. */
class KafkaJSFault extends Error {
  override readonly name: string = "KafkaJSConnectionError";
  readonly retriable: boolean;
  readonly type: string | undefined;

  constructor(message: string, { retriable = true, type }: { retriable?: boolean; type?: string } = {}) {
    super(message);
    this.retriable = retriable;
    this.type = type;
  }
}

/** Stands for kafkajs and its cluster of two partitions: each attempt is answered by the next script, or takes all. */
function start(scripts: ((values: string[]) => Promise<readonly number[]> | readonly number[])[] = []) {
  const attempts: string[][] = [];
  let producers = 0;
  const kafka: KafkaProducerOptions["kafka"] = {
    producer(config) {
      producers += 1;
      const choose = config.createPartitioner?.();
      return {
        async connect() {},
        async disconnect() {},
        async sendBatch({ topicMessages }: Batch): Promise<Answers> {
          const messages = topicMessages?.[0]?.messages ?? [];
          const metadata = [0, 1].map((partitionId) => ({ partitionErrorCode: 0, partitionId, leader: 1, replicas: [1], isr: [1] }));
          for (const message of messages) choose?.({ topic: "reports", partitionMetadata: metadata, message });
          const values = messages.map(({ value }) => String(value));
          attempts.push(values);
          const partitions = (await scripts.shift()?.(values)) ?? [0, 1];
          return partitions.map((partition) => ({ topicName: "reports", partition, errorCode: 0 }));
        },
      };
    },
  };
  const clock = new ManualClock();
  const registry = new Registry();
  const producer = createKafkaProducer({ kafka, topic: "reports", clock, log: silentLog, metrics: createKafkaMetrics(registry) });
  const publish = (value: string, key = "device-a", signal = never) => producer.publish({ key, value: Buffer.from(value) }, signal);
  return { producer, publish, clock, registry, attempts, producers: () => producers };
}

const unreachable = () => Promise.reject(new KafkaJSFault("the connection was closed"));
const isUnavailable = (error: unknown) => isNebulaError(error, "unavailable");

describe("the producer of reports on Kafka", () => {
  it("the Kafka producer gathers for 5 ms, or 500 records", async () => {
    const { producer, publish, clock, attempts } = start();
    await using _producer = producer;
    const few = [publish("1"), publish("2")];
    await clock.advance(4);
    assert.deepEqual(attempts, []);
    await clock.advance(1);
    await Promise.all(few);
    assert.deepEqual(attempts, [["1", "2"]]);
    const many = Array.from({ length: 1200 }, (_, index) => publish(String(index)));
    await clock.advance(10);
    await Promise.all(many);
    assert.deepEqual(
      attempts.slice(1).map(({ length }) => length),
      [500, 500, 200],
    );
  });

  it("the Kafka producer repeats a batch, with a connection of its own, before it sends the next one of the same key", async () => {
    const { producer, publish, clock, attempts, producers } = start([unreachable, unreachable]);
    await using _producer = producer;
    const first = publish("1");
    await clock.advance(5);
    const second = publish("2");
    await clock.advance(1_000);
    await Promise.all([first, second]);
    assert.deepEqual(attempts, [["1"], ["1"], ["1"], ["2"]]);
    assert.equal(producers(), 3);
  });

  it("the Kafka producer sends again the records that an answer leaves out, and acknowledges them only then", async () => {
    const { producer, clock, attempts } = start([() => [0]]);
    await using _producer = producer;
    const keys = Array.from({ length: 40 }, (_, index) => `device-${index}`);
    const acknowledged = new Set<string>();
    const sent = keys.map((key) => producer.publish({ key, value: Buffer.from(key) }, never).then(() => acknowledged.add(key)));
    await clock.advance(5);
    const [first = []] = attempts;
    assert.ok(first.some((key) => acknowledged.has(key)) && first.some((key) => !acknowledged.has(key)));
    const left = first.filter((key) => !acknowledged.has(key));
    await clock.advance(1_000);
    await Promise.all(sent);
    assert.deepEqual(attempts.at(-1), left);
  });

  it("the Kafka producer gives a record up after 10 s, and reports that it may be stored", async () => {
    const { producer, publish, clock } = start(Array.from({ length: 100 }, () => unreachable));
    await using _producer = producer;
    const rejected = assert.rejects(publish("1"), isUnavailable);
    let settled = false;
    void rejected.finally(() => {
      settled = true;
    });
    await clock.advance(9_000);
    assert.equal(settled, false);
    await clock.advance(2_500);
    await rejected;
  });

  it("the Kafka producer refuses at once a record that a broker refuses", async () => {
    const refused = () => Promise.reject(new KafkaJSFault("not authorized", { retriable: false, type: "TOPIC_AUTHORIZATION_FAILED" }));
    const { producer, publish, clock, attempts } = start([refused]);
    await using _producer = producer;
    const rejected = assert.rejects(publish("1"), (error) => isUnavailable(error) && /not authorized/.test(String(error)));
    await clock.advance(5);
    await rejected;
    assert.equal(attempts.length, 1);
  });

  it("the Kafka producer sends the halves of a batch that is too large, and refuses the one record that is too large by itself", async () => {
    const takes = (values: string[]) =>
      values.includes("large") ? Promise.reject(new KafkaJSFault("too large", { retriable: false, type: "MESSAGE_TOO_LARGE" })) : [0, 1];
    const { producer, publish, clock } = start(Array.from({ length: 20 }, () => takes));
    await using _producer = producer;
    const sent = ["1", "2", "large", "3"].map((value) => publish(value));
    const settled = Promise.allSettled(sent);
    await clock.advance(5_000);
    const results = await settled;
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "fulfilled", "rejected", "fulfilled"],
    );
    await assert.rejects(
      sent[2] ?? Promise.resolve(),
      (error) => isNebulaError(error, "failed_precondition") && /max.message.bytes/.test(error.message),
    );
  });

  it("the Kafka producer refuses the 10,001st record that waits, and takes another when there is room", async () => {
    const release = Promise.withResolvers<readonly number[]>();
    const { producer, publish, clock, registry } = start([() => release.promise]);
    await using _producer = producer;
    const waiting = Array.from({ length: 10_000 }, (_, index) => publish(String(index)));
    await clock.advance(5);
    await assert.rejects(publish("one too many"), isUnavailable);
    const queued = (await registry.getMetricsAsJSON()).find(({ name }) => name === "nebula_bus_queued_records");
    assert.equal(queued?.values[0]?.value, 10_000);
    release.resolve([0, 1]);
    await clock.advance(1_000);
    await Promise.all(waiting);
    const after = publish("room again");
    await clock.advance(5);
    await after;
  });

  it("the Kafka producer does not send a record that its publisher gave up before", async () => {
    const { producer, publish, clock, attempts } = start();
    await using _producer = producer;
    const impatient = new AbortController();
    const given = assert.rejects(publish("1", "device-a", impatient.signal), /too long/);
    impatient.abort(new Error("too long"));
    await given;
    const second = publish("2");
    await clock.advance(5);
    await second;
    assert.deepEqual(attempts, [["2"]]);
  });

  it("the Kafka producer rejects the calls of all publishers when it is closed", async () => {
    const { producer, publish, clock } = start([() => new Promise(() => {})]);
    const sent = assert.rejects(publish("1"), isUnavailable);
    await clock.advance(5);
    const waiting = assert.rejects(publish("2"), isUnavailable);
    await producer[Symbol.asyncDispose]();
    await Promise.all([sent, waiting]);
    await assert.rejects(publish("3"), isUnavailable);
  });
});

import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { Registry } from "prom-client";
import { systemClock } from "../../clock/system-clock.ts";
import { createLog, silentLog } from "../../log/log.ts";
import { eventually } from "../../testing/eventually.ts";
import { freshTopic, requireServer } from "../../testing/servers.ts";
import type { BusPosition } from "../report-bus.ts";
import { collect, describeReportBus } from "../report-bus-contract.ts";
import { migrateKafka, openKafkaBus } from "./kafka-bus.ts";
import { createKafka } from "./kafka-client.ts";
import { BatchLimit } from "./kafka-consumer.ts";
import { NO_LOGIN } from "./kafka-login.ts";
import { deadTopicOf } from "./kafka-topic.ts";
import { parseKafkaUrl } from "./kafka-url.ts";

const never = new AbortController().signal;
const PARTITIONS = 4;

describe("kafka bus", () => {
  let address = "";
  before("start Kafka", async function () {
    address = (await requireServer(this, "kafka")).address;
  });

  const made = new Set<string>();
  function optionsOf(topic: string) {
    return { url: `kafka://${address}/${topic}?partitions=${PARTITIONS}`, login: NO_LOGIN, clock: systemClock, log: silentLog, signal: never };
  }

  async function open(topic: string) {
    const options = optionsOf(topic);
    if (!made.has(topic)) await migrateKafka(options);
    made.add(topic);
    return openKafkaBus({ ...options, registry: new Registry() });
  }

  it("the Kafka bus logs at its start which brokers it found, with their versions, and how many replicas of a record are written", async () => {
    const topic = freshTopic();
    await (await open(topic))[Symbol.asyncDispose]();
    const lines: Record<string, unknown>[] = [];
    const log = createLog({ level: "info", part: "drivers", destination: { write: (line) => void lines.push(JSON.parse(line)) } });
    await using _bus = await openKafkaBus({ ...optionsOf(topic), log, registry: new Registry() });
    const found = lines.find(({ msg }) => msg === "Kafka answers") ?? assert.fail(JSON.stringify(lines));
    const [node, ...others] = Array.isArray(found.nodes) ? found.nodes : [];
    assert.equal(node?.address, address);
    assert.match(node.version, /^\d+\.\d+/);
    assert.deepEqual(others, []);
    const { partitions, replicas, minInSync, acks } = found;
    assert.deepEqual(
      { topic: found.topic, partitions, replicas, minInSync, acks },
      { topic, partitions: PARTITIONS, replicas: 1, minInSync: "1", acks: "all" },
    );
  });

  it("the Kafka bus puts records of several partitions aside at once, each in the partition of its number, with its offset and the reason", async () => {
    const topic = freshTopic();
    await using bus = await open(topic);
    const positions = [0, 1, 2, 3].map((partition) => ({ partition, offset: BigInt(100 + partition) }));
    const putAside = (position: BusPosition) =>
      bus.publishDead({ key: null, value: Buffer.from(`of ${position.partition}`), timestampMs: 1, position }, "not a BusRecord", never);
    await Promise.all(positions.map(putAside));
    const consumer = createKafka(parseKafkaUrl(`kafka://${address}/${topic}`), NO_LOGIN, silentLog).consumer({ groupId: topic });
    const found: string[] = [];
    try {
      await consumer.connect();
      await consumer.subscribe({ topic: deadTopicOf(topic), fromBeginning: true });
      await consumer.run({
        eachMessage: async ({ partition, message: { value, headers } }) =>
          void found.push([partition, value, headers?.partition, headers?.offset, headers?.reason].map(String).join(", ")),
      });
      await eventually(() => found.length === 4);
    } finally {
      await consumer.disconnect();
    }
    assert.deepEqual(
      found.sort(),
      positions.map(({ partition, offset }) => `${partition}, of ${partition}, ${partition}, ${offset}, not a BusRecord`),
    );
  });

  it("the Kafka bus hands over a batch again in halves when its partition was lost after a while, and larger ones when these are done soon", async () => {
    const topic = freshTopic();
    await using bus = await open(topic);
    await using other = await open(topic);
    const keys = Array.from({ length: 40 }, (_, index) => `device-${index}`);
    const values = Array.from({ length: 20 }, (_, index) => Buffer.from(String(index)));
    for (const value of values) await Promise.all(keys.map((key) => bus.publish({ key, value }, never)));
    const lost: number[] = [];
    const sizes: number[] = [];
    let held = 0;
    await using reader = collect(bus, async (batch, signal) => {
      if (lost.length > 0) return void sizes.push(batch.length);
      held++;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      lost.push(batch.length);
      throw signal.reason;
    });
    await eventually(() => held === PARTITIONS, { timeoutMs: 15_000 });
    await delay(3000); // a batch that was lost sooner says nothing of its size
    await using second = collect(other);
    const count = () => new Set([...reader.seen, ...second.seen].map(({ key, value }) => `${key} ${value}`)).size;
    await eventually(() => count() === keys.length * values.length, { timeoutMs: 30_000 });
    const [first = 0] = sizes;
    assert.ok(first >= 1 && first <= Math.max(...lost) / 2, `batches of ${lost.join(", ")} were lost, and the next ones had ${sizes.join(", ")}`);
    assert.ok(Math.max(...sizes) > first, `the batches after those that were lost had ${sizes.join(", ")}`);
  }).timeout(90_000);

  it("the limit of a batch halves with each size that was lost after a while, once for all partitions, down to one record", () => {
    const limit = new BatchLimit();
    for (const _partition of [0, 1, 2]) limit.lost(500, 9000);
    assert.equal(limit.records, 250);
    limit.lost(500, 9000); // one of before
    limit.lost(250, 100); // another member came, or left
    assert.equal(limit.records, 250);
    for (let records = limit.records; records >= 1; records = Math.floor(records / 2)) limit.lost(records, 9000);
    assert.equal(limit.records, 1);
  });

  it("the limit of a batch doubles with each batch that reached it and was done soon, up to 500 records", () => {
    const limit = new BatchLimit();
    limit.lost(500, 9000);
    limit.lost(250, 9000);
    limit.done(125, 4000); // not soon
    limit.done(60, 10); // not all that it may have
    assert.equal(limit.records, 125);
    limit.done(125, 10);
    assert.equal(limit.records, 250);
    limit.done(250, 10);
    limit.done(500, 10);
    assert.equal(limit.records, 500);
  });

  describeReportBus("kafka:", { open, sharedTopics: true, slowestMs: 15_000 });
});

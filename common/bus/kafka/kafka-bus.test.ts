import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { systemClock } from "../../clock/system-clock.ts";
import { createLog, silentLog } from "../../log/log.ts";
import { eventually } from "../../testing/eventually.ts";
import { freshTopic, requireServer } from "../../testing/servers.ts";
import type { BusPosition } from "../report-bus.ts";
import { describeReportBus } from "../report-bus-contract.ts";
import { migrateKafka, openKafkaBus } from "./kafka-bus.ts";
import { createKafka } from "./kafka-client.ts";
import { NO_LOGIN } from "./kafka-login.ts";
import { deadTopicOf } from "./kafka-topic.ts";
import { parseKafkaUrl } from "./kafka-url.ts";

const never = new AbortController().signal;

describe("kafka bus", () => {
  let address = "";
  before("start Kafka", async function () {
    address = (await requireServer(this, "kafka")).address;
  });

  const made = new Set<string>();
  function optionsOf(topic: string) {
    return { url: `kafka://${address}/${topic}?partitions=4`, login: NO_LOGIN, clock: systemClock, log: silentLog, signal: never };
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
      { topic, partitions: 4, replicas: 1, minInSync: "1", acks: "all" },
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

  describeReportBus("kafka:", { open, sharedTopics: true, slowestMs: 15_000 });
});

import { strict as assert } from "node:assert";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { deadTopicOf, groupIdOf } from "../../common/bus/kafka/kafka-topic.ts";
import { CompressionTypes, type Kafka } from "../../common/bus/kafka/kafkajs-guards.ts";
import type { ReportBus } from "../../common/bus/report-bus.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { encodedReport, sampleReport } from "../../common/testing/sample-report.ts";
import { freshTopic } from "../../common/testing/servers.ts";
import { connectTestKafka } from "../../common/testing/test-kafka.ts";
import type { Report } from "../../gen/nebula/v1/report_pb.ts";
import { startReporter } from "../../reporter/main.ts";
import { encodedOriginalReport } from "../../reporter/testing/original-report.ts";
import { compressAsOtherClients } from "./other-codecs.ts";
import { makeTopic, metricValue, openBus } from "./report-flow.ts";

const never = new AbortController().signal;
const accessStore = { deviceToken: async () => undefined };
const REPORTS = 20;
const devices = Array.from({ length: 8 }, (_, index) => `device-${index}`);

function record(report: Report) {
  return { key: report.deviceId, value: encodedReport(report) };
}

function numbered(deviceId: string, seq: number): Report {
  return sampleReport({ deviceId, seq: BigInt(seq), receivedMs: Date.now() });
}

describe("reporters on Kafka", function () {
  this.timeout(90_000);
  let address: string;
  let kafka: Kafka;
  let admin: ReturnType<Kafka["admin"]>;
  before("start Kafka", async function () {
    ({ address, kafka, admin } = await connectTestKafka(this));
  });
  after(() => admin?.disconnect());

  /** Starts a reporter with a bus of its own. */
  async function start(topic: string, reportStore: ReportStore) {
    await using opening = new AsyncDisposableStack();
    const bus = await openBus(address, topic);
    opening.use(bus);
    const { registry } = bus;
    const drivers = { reportBus: bus, reportStore, accessStore, changeFeed: createMemoryFeed({ log: silentLog }) };
    const reporter = opening.use(
      await startReporter({ settings: { reportTtlMs: 3_600_000 }, drivers, clock: systemClock, log: silentLog, registry }),
    );
    const opened = opening.move();
    return { reporter, registry, [Symbol.asyncDispose]: () => opened.disposeAsync() };
  }

  async function publishAll(bus: ReportBus): Promise<void> {
    await Promise.all(
      devices.map(async (deviceId) => {
        for (let seq = 1; seq <= REPORTS; seq++) await bus.publish(record(numbered(deviceId, seq)), never);
      }),
    );
  }

  /** Asserts that each report is in the history once, and that the device's row is its newest. */
  async function assertStored(store: ReportStore): Promise<void> {
    for (const deviceId of devices) {
      const { items } = await store.listReports({ deviceId }, { limit: 1000 });
      assert.deepEqual(
        items.map(({ report }) => Number(report?.seq)).sort((a, b) => a - b),
        Array.from({ length: REPORTS }, (_, index) => index + 1),
      );
      assert.equal(Number((await store.getDevice(deviceId))?.report?.seq), REPORTS);
    }
  }

  const newest = async (store: ReportStore) => {
    for (const deviceId of devices) if (Number((await store.getDevice(deviceId))?.report?.seq ?? 0) !== REPORTS) return false;
    return true;
  };

  it("reporters store each report once while they come and go, and the store fails before and after its writes", async () => {
    const topic = freshTopic();
    await makeTopic(address, topic);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    let saves = 0;
    const unsteady: ReportStore = {
      ...store,
      async save(...given) {
        saves += 1;
        if (saves % 4 === 1) throw new NebulaError("unavailable", "the store hung before its write");
        const outcome = await store.save(...given);
        if (saves % 4 === 3) throw new NebulaError("unavailable", "the store hung after its write");
        return outcome;
      },
    };
    await using bus = await openBus(address, topic);
    const publishing = publishAll(bus);
    let repeats = 0;
    for (let round = 0; round < 3; round++) {
      await using one = await start(topic, unsteady);
      await using two = await start(topic, unsteady);
      await eventually(() => one.reporter.notReady.length === 0 && two.reporter.notReady.length === 0);
      repeats +=
        (await metricValue(one.registry, "nebula_bus_repeated_batches_total")) +
        (await metricValue(two.registry, "nebula_bus_repeated_batches_total"));
    }
    await publishing;
    await using _last = await start(topic, unsteady);
    await eventually(() => newest(store), { timeoutMs: 30_000 });
    await assertStored(store);
    assert.ok(repeats > 0, "no save failed");
  });

  it("reporters change nothing and count nothing twice when offsets are set back to the beginning", async () => {
    const topic = freshTopic();
    await makeTopic(address, topic);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using bus = await openBus(address, topic);
    await publishAll(bus);
    {
      await using _first = await start(topic, store);
      await eventually(() => newest(store), { timeoutMs: 30_000 });
    }
    await admin.resetOffsets({ groupId: groupIdOf(topic), topic, earliest: true });
    await using second = await start(topic, store);
    const outcome = async (name: string) => {
      const metric = (await second.registry.getMetricsAsJSON()).find((each) => each.name === "nebula_reporter_reports_total");
      return metric?.values.find(({ labels }) => labels.outcome === name)?.value ?? 0;
    };
    await eventually(async () => (await outcome("repeat")) === devices.length * REPORTS, { timeoutMs: 30_000 });
    assert.deepEqual([await outcome("newest"), await outcome("late")], [0, 0]);
    await assertStored(store);
  });

  it("reporters read JSON of workers of the original without keys, received when the broker took it, with any clock of the device", async () => {
    const topic = freshTopic();
    await makeTopic(address, topic);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using _reporter = await start(topic, store);
    const producer = kafka.producer();
    await producer.connect();
    const sent = Date.now();
    const value = Buffer.from(encodedOriginalReport({ hostname: "old-1", report_creation_time: 2_000_000_000 }));
    await producer.send({ topic, messages: [{ key: null, value, timestamp: String(Date.UTC(1999, 0, 1)) }] });
    await producer.disconnect();
    const device = await eventually(async () => (await store.getDevice("old-1")) ?? false);
    const receivedMs = timestampMs(device?.report?.receivedAt ?? timestampFromMs(0));
    assert.ok(Math.abs(receivedMs - sent) < 10_000, `received at ${receivedMs}, sent at ${sent}`);
  });

  it("reporters put invalid records of every kind aside with their offset, and read on", async () => {
    const topic = freshTopic();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries: [{ name: "compression.type", value: "producer" }] }] });
    compressAsOtherClients();
    const producer = kafka.producer();
    await producer.connect();
    const send = (value: Uint8Array | null, compression?: (typeof CompressionTypes)[keyof typeof CompressionTypes]) =>
      producer.send({
        topic,
        messages: [{ key: "device-0", value: value === null ? null : Buffer.from(value) }],
        ...(compression === undefined ? {} : { compression }),
      });
    await send(record(numbered("device-0", 1)).value);
    await send(record(numbered("device-0", 2)).value, CompressionTypes.Snappy);
    await send(Buffer.from("{ not JSON"));
    await send(null);
    await send(Buffer.from([255, 255, 255]));
    await send(record(sampleReport({ deviceId: "device-0", deviceGroup: "no group/" })).value);
    await send(record(numbered("device-0", 3)).value, CompressionTypes.ZSTD);
    await producer.disconnect();
    await makeTopic(address, topic, 1);

    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using reporter = await start(topic, store);
    await eventually(async () => Number((await store.getDevice("device-0"))?.report?.seq ?? 0) === 3, { timeoutMs: 30_000 });
    assert.equal((await store.listReports({ deviceId: "device-0" }, { limit: 10 })).items.length, 2);
    const dead = await readDead(deadTopicOf(topic), 5);
    assert.deepEqual(
      dead.map(({ headers }) => [Number(headers.offset), headers.topic]).sort(),
      [1, 2, 3, 4, 5].map((offset) => [offset, topic]),
    );
    assert.match(dead.find(({ headers }) => headers.offset === "1")?.headers.reason ?? "", /compressed with snappy; use gzip, zstd or none/);
    assert.equal(await metricValue(reporter.registry, "nebula_bus_dead_records_total"), 5);
    assert.equal(await metricValue(reporter.registry, "nebula_bus_lost_dead_records_total"), 0);
  });

  it("reporters read on while the topic of dead records does not exist, and count the records that it did not take", async () => {
    const topic = freshTopic();
    await makeTopic(address, topic, 1);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using reporter = await start(topic, store);
    await eventually(() => reporter.reporter.notReady.length === 0);
    await admin.deleteTopics({ topics: [deadTopicOf(topic)] });
    await using bus = await openBusWithoutCheck(topic);
    await bus.publish({ key: "device-0", value: Buffer.from("{ not JSON") }, never);
    await bus.publish(record(numbered("device-0", 1)), never);
    await eventually(async () => (await store.getDevice("device-0")) !== undefined, { timeoutMs: 30_000 });
    assert.equal(await metricValue(reporter.registry, "nebula_bus_lost_dead_records_total"), 1);
  });

  /** A producer of the driver alone. */
  async function openBusWithoutCheck(topic: string): Promise<Pick<ReportBus, "publish"> & AsyncDisposable> {
    const { createKafkaProducer } = await import("../../common/bus/kafka/kafka-producer.ts");
    const { createKafkaMetrics } = await import("../../common/bus/kafka/kafka-metrics.ts");
    const { Registry } = await import("prom-client");
    return createKafkaProducer({ kafka, topic, clock: systemClock, log: silentLog, metrics: createKafkaMetrics(new Registry()) });
  }

  async function readDead(topic: string, count: number) {
    const found: { headers: Record<string, string> }[] = [];
    const consumer = kafka.consumer({ groupId: `${topic}-reader`, maxWaitTimeInMs: 200 });
    try {
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        eachMessage: async ({ message }) => {
          found.push({ headers: Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)])) });
        },
      });
      await eventually(() => found.length >= count, { timeoutMs: 20_000 });
    } finally {
      await consumer.disconnect();
    }
    return found;
  }
});

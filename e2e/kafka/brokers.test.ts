import { strict as assert } from "node:assert";
import { createKafka } from "../../common/bus/kafka/kafka-client.ts";
import { NO_LOGIN } from "../../common/bus/kafka/kafka-login.ts";
import { groupIdOf } from "../../common/bus/kafka/kafka-topic.ts";
import { parseKafkaUrl } from "../../common/bus/kafka/kafka-url.ts";
import { ConfigResourceTypes, type Kafka } from "../../common/bus/kafka/kafkajs-guards.ts";
import type { ReportBus } from "../../common/bus/report-bus.ts";
import { describeReportBus } from "../../common/bus/report-bus-contract.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { type Broker, KAFKA_VERSIONS, type KafkaFleet, startThreeBrokers } from "../../common/testing/kafka-fleets.ts";
import { requireDocker } from "../../common/testing/require-docker.ts";
import { encodedReport, sampleReport } from "../../common/testing/sample-report.ts";
import { freshTopic } from "../../common/testing/servers.ts";
import { startReporter } from "../../reporter/main.ts";
import { makeTopic, type metricValue, openBus, ReportFlow } from "./report-flow.ts";

const PARTITIONS = 4;
const WITHIN = { timeoutMs: 60_000, everyMs: 200 };

// Three brokers of each version: for the long run alone.
if (process.env.NEBULA_TEST_LONG === "1") {
  for (const version of KAFKA_VERSIONS) {
    describe(`reports on three brokers of Kafka ${version}`, function () {
      this.timeout(300_000);
      describeBrokers(version);
    });
  }
}

function describeBrokers(version: string): void {
  let fleet: KafkaFleet;
  let kafka: Kafka;
  let admin: ReturnType<Kafka["admin"]>;
  let addresses = "";
  before("start Kafka", async function () {
    await requireDocker(this);
    fleet = await startThreeBrokers(version);
    addresses = fleet.brokers.map(({ address }) => address).join(",");
    kafka = createKafka(parseKafkaUrl(`kafka://${addresses}/any`), NO_LOGIN, silentLog);
    admin = kafka.admin();
    await eventually(async () => {
      await admin.connect();
      assert.equal((await admin.describeCluster()).brokers.length, 3);
    }, WITHIN);
  });
  after(async () => {
    await admin?.disconnect();
    await fleet?.container[Symbol.asyncDispose]();
  });

  const partitionsOf = async (topic: string) => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions ?? [];

  /** Resolves when each partition of a topic, and of the offsets of all groups, has this many copies that are in step. */
  async function inStep(topic: string, copies: number): Promise<void> {
    await eventually(async () => {
      for (const name of [topic, "__consumer_offsets"]) {
        const partitions = await partitionsOf(name);
        assert.ok(partitions.length > 0);
        for (const { leader, isr } of partitions) assert.ok(leader > 0 && isr.length === copies, `${name}: ${isr.length} in step`);
      }
    }, WITHIN);
  }

  /** Starts a reporter with a bus of its own. */
  async function start(topic: string, reportStore: ReportStore) {
    await using opening = new AsyncDisposableStack();
    const bus = opening.use(await openBus(addresses, topic));
    const drivers = {
      reportBus: bus,
      reportStore,
      accessStore: { deviceToken: async () => undefined },
      changeFeed: createMemoryFeed({ log: silentLog }),
    };
    const options = { settings: { reportTtlMs: 3_600_000 }, drivers, clock: systemClock, log: silentLog, registry: bus.registry };
    const reporter = opening.use(await startReporter(options));
    await eventually(() => reporter.notReady.length === 0, WITHIN);
    const opened = opening.move();
    return { registry: bus.registry, [Symbol.asyncDispose]: () => opened.disposeAsync() };
  }

  const flowOf = (bus: ReportBus) => {
    const encode = (deviceId: string, seq: number) => encodedReport(sampleReport({ deviceId, seq: BigInt(seq), receivedMs: Date.now() }));
    return new ReportFlow(bus, { encode });
  };

  /** Asserts that each acknowledged report is in the history once, and that a device's row is its newest. Answers how many reports the history has. */
  async function assertStored(store: ReportStore, flow: ReportFlow): Promise<number> {
    let stored = 0;
    for (const [deviceId, acknowledged] of flow.acknowledged) {
      const { items } = await store.listReports({ deviceId }, { limit: 10_000 });
      const seqs = items.map(({ report }) => Number(report?.seq));
      assert.equal(new Set(seqs).size, seqs.length, `${deviceId} has a report twice`);
      const missing = acknowledged.filter((seq) => !seqs.includes(seq));
      assert.deepEqual(missing, [], `${deviceId} lacks reports`);
      assert.equal(Number((await store.getDevice(deviceId))?.report?.seq), Math.max(...seqs));
      stored += seqs.length;
    }
    return stored;
  }

  async function outcomes(registries: readonly Parameters<typeof metricValue>[0][], ...wanted: string[]): Promise<number> {
    let sum = 0;
    for (const registry of registries) {
      const metric = (await registry.getMetricsAsJSON()).find(({ name }) => name === "nebula_reporter_reports_total");
      for (const { labels, value } of metric?.values ?? []) if (wanted.includes(String(labels.outcome))) sum += value;
    }
    return sum;
  }

  it("reports go to a topic with three copies, of which two have each acknowledged record", async () => {
    const topic = freshTopic();
    await makeTopic(addresses, topic, PARTITIONS);
    const partitions = await partitionsOf(topic);
    assert.deepEqual(
      partitions.map(({ replicas }) => replicas.length),
      [3, 3, 3, 3],
    );
    const { resources } = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }], includeSynonyms: false });
    assert.equal(resources[0]?.configEntries.find(({ configName }) => configName === "min.insync.replicas")?.configValue, "2");
  });

  it("reports are neither lost nor counted twice while each broker in turn is killed", async () => {
    const topic = freshTopic();
    await makeTopic(addresses, topic, PARTITIONS);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using one = await start(topic, store);
    await using two = await start(topic, store);
    await using bus = await openBus(addresses, topic);
    await using flow = flowOf(bus);
    await inStep(topic, 3);
    const ledBy = async (id: number) => (await partitionsOf(topic)).filter(({ leader }) => leader === id).length;
    let moved = 0;
    for (const broker of fleet.brokers) {
      await eventually(() => flow.count >= 50);
      moved += await ledBy(broker.id);
      await killed(broker, async () => {
        await inStep(topic, 2);
        assert.equal(await ledBy(broker.id), 0);
        const before = flow.count;
        await eventually(() => flow.count >= before + 100, WITHIN);
      });
      await inStep(topic, 3);
    }
    assert.ok(moved >= PARTITIONS, "the brokers that were killed led no partition");
    await flow.stop();
    await eventually(() => assertStored(store, flow), WITHIN);
    const stored = await assertStored(store, flow);
    assert.equal(await outcomes([one.registry, two.registry], "newest", "late"), stored, "a report was counted twice");
    assert.ok(flow.count >= 300);
  });

  it("reports are refused while one broker alone is left, and flow again when the others are back", async () => {
    const topic = freshTopic();
    await makeTopic(addresses, topic, PARTITIONS);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using reporter = await start(topic, store);
    await using bus = await openBus(addresses, topic);
    await using flow = flowOf(bus);
    await eventually(() => flow.count >= 50);
    const [first = assert.fail(), second = assert.fail()] = fleet.brokers;
    let within = 0;
    await killed(first, () =>
      killed(second, async () => {
        const refused = flow.refused;
        await eventually(() => flow.refused >= refused + 12, WITHIN);
        const before = flow.count;
        await eventually(() => flow.refused >= refused + 36, WITHIN);
        within = flow.count - before;
      }),
    );
    assert.equal(within, 0, "a report was acknowledged by one broker alone");
    await inStep(topic, 3);
    const before = flow.count;
    await eventually(() => flow.count >= before + 50, WITHIN);
    await flow.stop();
    await eventually(() => assertStored(store, flow), WITHIN);
    assert.equal(await outcomes([reporter.registry], "newest", "late"), await assertStored(store, flow));
  });

  it("reports are folded no second time when the group's offsets are set back to the beginning", async () => {
    const topic = freshTopic();
    await makeTopic(addresses, topic, PARTITIONS);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using bus = await openBus(addresses, topic);
    const flow = flowOf(bus);
    {
      await using _reporter = await start(topic, store);
      await eventually(() => flow.count >= 200, WITHIN);
      await flow.stop();
      await eventually(() => assertStored(store, flow), WITHIN);
    }
    const stored = await assertStored(store, flow);
    await eventually(() => admin.resetOffsets({ groupId: groupIdOf(topic), topic, earliest: true }), WITHIN);
    await using again = await start(topic, store);
    await eventually(async () => (await outcomes([again.registry], "repeat")) >= stored, WITHIN);
    assert.equal(await outcomes([again.registry], "newest", "late"), 0);
    assert.equal(await assertStored(store, flow), stored);
  });

  const made = new Set<string>();
  async function open(topic: string): Promise<ReportBus> {
    if (!made.has(topic)) await makeTopic(addresses, topic, PARTITIONS);
    made.add(topic);
    return openBus(addresses, topic);
  }
  describeReportBus(`kafka: ${version}, three brokers`, { open, sharedTopics: true, slowestMs: 20_000 });
}

/** Does something while a broker is dead. */
async function killed(broker: Broker, work: () => Promise<void>): Promise<void> {
  await broker.kill();
  try {
    await work();
  } finally {
    await broker.startAgain();
  }
}

import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { ManualClock } from "../../clock/manual-clock.ts";
import { systemClock } from "../../clock/system-clock.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { createLog, silentLog } from "../../log/log.ts";
import { eventually } from "../../testing/eventually.ts";
import { freshTopic } from "../../testing/servers.ts";
import { connectTestKafka } from "../../testing/test-kafka.ts";
import { collect } from "../report-bus-contract.ts";
import { migrateKafka, openKafkaBus } from "./kafka-bus.ts";
import { NO_LOGIN } from "./kafka-login.ts";
import { announcedTopics, type ClusterState, type TopicState } from "./kafka-topic.ts";
import { ConfigResourceTypes, type Kafka } from "./kafkajs-guards.ts";

const never = new AbortController().signal;

describe("the topics of reports while brokers learn of them", () => {
  const state = (partitions: number): TopicState => ({ partitions, replicas: 3, led: partitions });
  const cluster = (reports: number | undefined, dead: number | undefined): ClusterState => ({
    brokers: 3,
    reports: reports === undefined ? undefined : state(reports),
    dead: dead === undefined ? undefined : state(dead),
  });

  /** Looks while time passes; each look reads the next of these states, and then the last one again. */
  async function look(...states: readonly ClusterState[]) {
    const clock = new ManualClock();
    let reads = 0;
    const read = async () => states[Math.min(reads++, states.length - 1)] ?? assert.fail();
    const ended = announcedTopics(read, { topic: "t", clock, signal: never }).then(
      (found) => found,
      (error: unknown) => error,
    );
    await clock.advance(60_000);
    return { ended: await ended, reads };
  }

  it("topics are looked for again where a broker lacks them, or knows of fewer partitions", async () => {
    const whole = cluster(4, 4);
    const { ended, reads } = await look(cluster(undefined, undefined), cluster(4, undefined), cluster(4, 2), whole);
    assert.deepEqual([ended, reads], [whole, 4]);
  });

  it("topics that stay missing, or keep another number of partitions, are refused with what helps", async () => {
    for (const [state, message] of [
      [cluster(undefined, undefined), /^the topic "t" does not exist; run "nebula migrate" first/],
      [cluster(4, undefined), /^the topic "t-dead" does not exist; run "nebula migrate" first/],
      [cluster(4, 2), /^the topic "t" has 4 partitions, and 2 are recorded; stop the managers/],
    ] as const) {
      const { ended, reads } = await look(state);
      assert.ok(isNebulaError(ended, "failed_precondition") && message.test(ended.message), String(ended));
      assert.ok(reads > 1);
    }
  });
});

describe("the topics of reports", function () {
  this.timeout(60_000);
  let address: string;
  let admin: ReturnType<Kafka["admin"]>;
  before("start Kafka", async function () {
    ({ address, admin } = await connectTestKafka(this));
  });
  after(() => admin?.disconnect());

  function options(topic: string, parameters = "", lines: string[] = []) {
    const log = createLog({ level: "info", part: "test", destination: { write: (line: string) => void lines.push(JSON.parse(line).msg) } });
    return { url: `kafka://${address}/${topic}${parameters}`, login: NO_LOGIN, clock: systemClock, log, signal: never };
  }
  const open = (topic: string) => openKafkaBus({ ...options(topic), log: silentLog, registry: new Registry() });

  async function partitionsOf(topic: string): Promise<number | undefined> {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0]?.partitions.length;
  }

  async function configOf(topic: string): Promise<Record<string, string>> {
    const { resources } = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }], includeSynonyms: false });
    return Object.fromEntries(resources[0]?.configEntries.map((entry) => [entry.configName, entry.configValue]) ?? []);
  }

  const failedWith = (pattern: RegExp) => (error: unknown) => isNebulaError(error, "failed_precondition") && pattern.test(error.message);

  it("topics are created with 48 partitions, the broker's time, gzip and 48 hours, with a warning for fewer than 3 brokers", async () => {
    const topic = freshTopic();
    const lines: string[] = [];
    await migrateKafka(options(topic, "", lines));
    assert.deepEqual([await partitionsOf(topic), await partitionsOf(`${topic}-dead`)], [48, 48]);
    const config = await configOf(topic);
    assert.deepEqual(
      ["message.timestamp.type", "compression.type", "retention.ms", "min.insync.replicas", "cleanup.policy"].map((name) => config[name]),
      ["LogAppendTime", "gzip", String(48 * 3_600_000), "1", "delete"],
    );
    assert.equal((await configOf(`${topic}-dead`))["retention.ms"], String(14 * 24 * 3_600_000));
    assert.ok(lines.some((line) => line.includes("fewer than 3 brokers")));
    assert.equal(lines.filter((line) => line === "topic made").length, 2);
  });

  it("topics do not change when they are created again", async () => {
    const topic = freshTopic();
    await migrateKafka(options(topic, "?partitions=2"));
    const before = await configOf(topic);
    const lines: string[] = [];
    await migrateKafka(options(topic, "", lines));
    assert.deepEqual([await partitionsOf(topic), await configOf(topic)], [2, before]);
    assert.deepEqual(
      lines.filter((line) => !line.includes("fewer than 3 brokers")),
      [],
    );
  });

  it("topics that exist keep their partitions and settings, and a longer retention", async () => {
    const topic = freshTopic();
    const configEntries = [
      { name: "retention.ms", value: "-1" },
      { name: "segment.bytes", value: "20971520" },
    ];
    await admin.createTopics({ topics: [{ topic, numPartitions: 3, configEntries }] });
    await migrateKafka(options(topic));
    const config = await configOf(topic);
    assert.deepEqual([await partitionsOf(topic), await partitionsOf(`${topic}-dead`)], [3, 3]);
    assert.deepEqual([config["retention.ms"], config["segment.bytes"], config["message.timestamp.type"]], ["-1", "20971520", "LogAppendTime"]);
  });

  it("topics are looked up when a bus opens: the error for a missing one names the command that creates it", async () => {
    const topic = freshTopic();
    await assert.rejects(open(topic), failedWith(new RegExp(`the topic "${topic}" does not exist; run "nebula migrate" first`)));
  });

  it("topics with another number of partitions than the recorded one are refused, when a bus opens and when a reader begins", async () => {
    const topic = freshTopic();
    await migrateKafka(options(topic, "?partitions=2"));
    await using bus = await open(topic);
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    const message = /has 3 partitions, and 2 are recorded; stop the managers.*run "nebula migrate"/;
    await eventually(() => assert.rejects(open(topic), failedWith(message)));
    await assert.rejects(
      bus.consume(async () => {}, { signal: never }),
      failedWith(message),
    );
  });

  it("topics get more partitions once each record is committed, and not before", async () => {
    const topic = freshTopic();
    await migrateKafka(options(topic, "?partitions=2"));
    const grow = () => migrateKafka(options(topic, "?partitions=4"));
    {
      await using bus = await open(topic);
      for (const key of ["a", "b", "c", "d"]) await bus.publish({ key, value: Buffer.from("x") }, never);
      await assert.rejects(grow(), failedWith(/^4 records of the topic .* are not committed/));
      await using reader = collect(bus);
      await eventually(() => reader.seen.length === 4);
    }
    await grow();
    assert.deepEqual([await partitionsOf(topic), await partitionsOf(`${topic}-dead`)], [4, 4]);
    await using bus = await open(topic);
    await using reader = collect(bus);
    for (let device = 0; device < 20; device++) await bus.publish({ key: `device-${device}`, value: Buffer.from("y") }, never);
    await eventually(() => reader.seen.length === 20);
    assert.ok(reader.seen.some(({ position }) => (position?.partition ?? 0) >= 2));
  });

  it("topics are never shrunk", async () => {
    const topic = freshTopic();
    await migrateKafka(options(topic, "?partitions=2"));
    await assert.rejects(migrateKafka(options(topic, "?partitions=1")), failedWith(/has 2 partitions, and Kafka removes none; use partitions=2/));
  });
});

import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";
import { groupIdOf } from "../../../common/bus/kafka/kafka-topic.ts";
import { parseKafkaUrl } from "../../../common/bus/kafka/kafka-url.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import type { ClusterStage } from "../cluster-stage.ts";
import type { Fault } from "./fault.ts";

/** How many reports a second are read again, at the least, on a slow machine that does all else as well. */
const READ_AGAIN_PER_SECOND = 300;

export const REPORT_FAULTS: readonly Fault[] = [
  {
    title: "Kafka was killed, and started again",
    everyRun: true,
    async run(stage, outageMs) {
      await stage.rises(
        "batches that could not be published",
        () => stage.metric(stage.cluster.shards, "nebula_bus_publish_failures_total"),
        async () => {
          await stage.container("kafka").kill();
          await delay(outageMs);
          await stage.container("kafka").startAgain();
        },
      );
    },
  },
  {
    title: "a reporter was killed in the middle of a batch",
    everyRun: true,
    async run(stage, outageMs) {
      const reporter = await busyReporter(stage);
      const { cassandra } = reporter.proxies;
      await cassandra.set("delay"); // a batch takes several statements, and so some seconds
      const before = cassandra.struck.delay;
      await eventually(() => cassandra.struck.delay >= before + 4, { timeoutMs: 60_000 });
      await reporter.program.kill();
      await cassandra.set(undefined);
      await delay(outageMs);
      reporter.launch();
      await reporter.ready();
    },
  },
  {
    title: "the offsets were set back to the beginning",
    async run(stage) {
      const { brokers, topic } = parseKafkaUrl(stage.cluster.backends.bus);
      for (const reporter of stage.cluster.reporters) assert.equal(await reporter.program.stop(), 0, reporter.program.output.slice(-4000));
      const admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin();
      const groupId = groupIdOf(topic);
      let committed = 0;
      await admin.connect();
      try {
        for (const { partitions } of await admin.fetchOffsets({ groupId, topics: [topic] }))
          committed += partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0); // -1: nothing was read yet
        await eventually(() => admin.resetOffsets({ groupId, topic, earliest: true }).then(() => true), { timeoutMs: 40_000, everyMs: 500 });
      } finally {
        await admin.disconnect();
      }
      assert.ok(committed > 0);
      await stage.rises(
        "reports that were read again",
        () => stage.metric(stage.cluster.reporters, "nebula_reporter_reports_total", { outcome: "repeat" }),
        async () => {
          for (const reporter of stage.cluster.reporters) reporter.launch();
          await Promise.all(stage.cluster.reporters.map((reporter) => reporter.ready()));
        },
        committed,
        60_000 + (committed * 1000) / READ_AGAIN_PER_SECOND,
      );
    },
  },
  {
    title: "a third reporter came, and left again",
    async run(stage, outageMs) {
      const { reporters } = stage.cluster;
      const rebalances = () => stage.metric(reporters.slice(0, 2), "nebula_bus_rebalances_total");
      await stage.rises("rebalances", rebalances, async () => {
        const third = await stage.cluster.addReporter("reporter-third");
        await delay(outageMs / 2);
        await third.program.kill();
        stage.cluster.forget(third);
      });
    },
  },
];

/** A reporter that has partitions to read. */
async function busyReporter({ cluster }: ClusterStage) {
  for (const reporter of cluster.reporters) if ((await reporter.metric("nebula_reporter_reports_total")) > 0) return reporter;
  return assert.fail("no reporter has read a report");
}

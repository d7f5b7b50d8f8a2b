import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../../common/testing/eventually.ts";
import type { ClusterStage } from "../cluster-stage.ts";
import type { Fault } from "./fault.ts";

const TORN_READS = new URL("torn-reads.ts", import.meta.url).href;
const CHANGES = 20;

const failures = (stage: ClusterStage) => stage.metric(stage.cluster.shards, "nebula_store_request_seconds_count", { result: "failed" });

export const STORE_FAULTS: readonly Fault[] = [
  {
    title: "Cassandra was killed, and started again",
    everyRun: true,
    async run(stage, outageMs) {
      await stage.rises(
        "failed requests",
        () => failures(stage),
        async () => {
          await stage.container("cassandra").kill();
          await delay(outageMs);
          await stage.container("cassandra").startAgain();
        },
      );
    },
  },
  {
    title: "connections to Cassandra were cut after a conditional batch and before its answer",
    everyRun: true,
    async run(stage, outageMs) {
      const proxies = stage.cluster.shards.map((shard) => shard.proxies.cassandra);
      await stage.rises(
        "writes without an answer",
        () => stage.metric(stage.cluster.shards, "nebula_store_unknown_outcomes_total"),
        async () => {
          await stage.rises(
            "cut connections",
            () => proxies.reduce((sum, { struck }) => sum + struck.cut, 0),
            async () => {
              for (const proxy of proxies) await proxy.set("cut");
              await delay(outageMs);
              for (const proxy of proxies) await proxy.set(undefined);
            },
          );
        },
      );
    },
  },
  {
    title: "Cassandra was a black hole for one shard, then slow for all",
    everyRun: true,
    async run(stage, outageMs) {
      const { shard } = await stage.busiestShard();
      const proxies = stage.cluster.shards.map((each) => each.proxies.cassandra);
      await stage.rises(
        "pieces that were held back",
        () => shard.proxies.cassandra.struck["black hole"],
        async () => {
          await shard.proxies.cassandra.set("black hole");
          await delay(outageMs);
          await shard.proxies.cassandra.set(undefined);
        },
      );
      await stage.rises(
        "pieces that were late",
        () => proxies.reduce((sum, { struck }) => sum + struck.delay, 0),
        async () => {
          for (const proxy of proxies) await proxy.set("delay");
          await delay(outageMs / 2);
          for (const proxy of proxies) await proxy.set(undefined);
        },
      );
    },
  },
  {
    title: "all that a shard read of Cassandra had heads newer than the states",
    everyRun: true,
    async run(stage, outageMs) {
      const { shard } = await stage.busiestShard();
      const door = stage.doors.find(({ name }) => name === shard.name) ?? assert.fail(`there is no door to ${shard.name}`);
      const app = `torn-for-${outageMs}`;
      await stage.createApps([app]);
      await shard.program.kill();
      shard.launch({ NODE_OPTIONS: `--import=${TORN_READS}` });
      try {
        await shard.ready();
        await eventually(async () => (await shard.metric("nebula_watches")) > 0, { timeoutMs: 60_000, everyMs: 250 });
        const torn = () => Number(/.*torn reads: (\d+)/s.exec(shard.program.output)?.[1] ?? 0);
        const repeated = () => shard.metric("nebula_store_request_seconds_count", { table: "entity", kind: "serial_read", result: "ok" });
        const reading = async () => {
          let { revision } = await eventually(() => door.read(app));
          for (let n = 0; n < CHANGES; n++) {
            const writer = `torn/${n}`;
            const outcome = await door.change(app, revision, writer);
            if (outcome.kind !== "written") assert.fail(`change ${n} was ${outcome.kind}`);
            revision = outcome.revision;
            assert.deepEqual(await door.read(app), { revision, writer });
          }
          await stage.trial.allFollow();
        };
        await stage.rises("torn reads", torn, () => stage.rises("reads that were repeated", repeated, reading, CHANGES), CHANGES);
      } finally {
        await shard.program.kill();
        shard.launch();
      }
      await shard.ready();
    },
  },
];

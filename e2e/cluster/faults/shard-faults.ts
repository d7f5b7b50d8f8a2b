import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../../common/testing/eventually.ts";
import type { Fault } from "./fault.ts";

const SKEW_MS = 10 * 60_000;
/** How long until a shard that came or went is known to all and has what it owns: two reads of its lease, 10 s after the change before, and a slow machine. */
const KNOWN_MS = 120_000;

/** Has a process believe that it is later, or earlier. */
function shiftedClock(byMs: number): Readonly<Record<string, string>> {
  const program = `const now = Date.now; Date.now = () => now() + ${byMs};`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(program)}` };
}

export const SHARD_FAULTS: readonly Fault[] = [
  {
    title: "a shard was killed, and started again",
    everyRun: true,
    async run(stage, outageMs) {
      const { shard, watches } = await stage.busiestShard();
      assert.ok(watches > 0);
      await stage.rises(
        "connects of its devices",
        () => stage.connects(),
        async () => {
          await shard.program.kill();
          await delay(outageMs);
          shard.launch();
          await shard.ready();
        },
        watches,
      );
    },
  },
  {
    title: "a shard was paused for longer than its lease, and came back",
    everyRun: true,
    async run(stage, outageMs) {
      const { shard, watches } = await stage.busiestShard();
      const others = stage.cluster.shards.filter((each) => each !== shard);
      assert.ok(watches > 0);
      shard.program.child.kill("SIGSTOP");
      try {
        await eventually(
          async () => (await Promise.all(others.map((each) => each.metric("nebula_members")))).every((count) => count === others.length),
          {
            timeoutMs: KNOWN_MS,
            everyMs: 250,
          },
        );
        await delay(outageMs / 2); // devices look for another shard
      } finally {
        shard.program.child.kill("SIGCONT");
      }
      await shard.ready();
      await eventually(
        async () => (await Promise.all(others.map((each) => each.metric("nebula_members")))).every((count) => count === others.length + 1),
        {
          timeoutMs: KNOWN_MS,
          everyMs: 250,
        },
      );
    },
  },
  {
    title: "a shard was added, got its part of the devices, and was drained",
    async run(stage) {
      const added = await stage.cluster.addShard({ name: "shard-added" });
      await eventually(async () => (await added.metric("nebula_watches")) > 0, { timeoutMs: KNOWN_MS, everyMs: 250 });
      const watches = await added.metric("nebula_watches");
      await stage.rises(
        "connects of its devices",
        () => stage.connects(),
        async () => {
          assert.equal(await added.program.stop(), 0, added.program.output.slice(-4000));
        },
        watches,
      );
      stage.cluster.forget(added);
    },
  },
  {
    title: "shards had clocks that were 10 minutes ahead and behind",
    behindMs: SKEW_MS,
    async run(stage, outageMs) {
      const ahead = await stage.cluster.addShard({ name: "shard-ahead", env: shiftedClock(SKEW_MS) });
      const behind = await stage.cluster.addShard({ name: "shard-behind", env: shiftedClock(-SKEW_MS) });
      for (const shard of [ahead, behind])
        await eventually(async () => (await shard.metric("nebula_watches")) > 0, { timeoutMs: KNOWN_MS, everyMs: 250 });
      for (const [shard, byMs] of [
        [ahead, SKEW_MS],
        [behind, -SKEW_MS],
      ] as const) {
        const changedAt = await stage.changedAtBy(shard);
        assert.ok(Math.abs(changedAt - Date.now() - byMs) < 60_000, `${shard.name} writes ${new Date(changedAt).toISOString()}`);
      }
      await delay(outageMs);
      for (const shard of [ahead, behind]) {
        assert.equal(await shard.program.stop(), 0, shard.program.output.slice(-4000));
        stage.cluster.forget(shard);
      }
    },
  },
];

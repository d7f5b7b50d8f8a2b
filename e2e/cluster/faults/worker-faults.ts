import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../../common/testing/eventually.ts";
import type { ClusterStage } from "../cluster-stage.ts";
import type { Fault } from "./fault.ts";

const earlierOf = new WeakMap<ClusterStage, readonly string[]>();

export const WORKER_FAULTS: readonly Fault[] = [
  {
    title: "workers of the release before shards came beside new ones, a shard was killed, and another one was drained",
    everyRun: true,
    async run(stage, outageMs) {
      const earlier = earlierOf.get(stage) ?? (await stage.trial.addEarlierDevices());
      earlierOf.set(stage, earlier);
      await stage.trial.allFollow();

      const { shard: killed } = await stage.busiestShard();
      const left = await servedBy(stage, killed.address, earlier);
      await killed.program.kill();
      await delay(outageMs);
      await assertServedElsewhere(stage, killed.address, left);
      await stage.trial.allFollow();
      killed.launch();
      await killed.ready();
      await stage.knowEachOther();

      const drained = stage.cluster.shards.find((shard) => shard !== killed) ?? assert.fail("there is no other shard");
      const handedOver = await servedBy(stage, drained.address, earlier);
      assert.equal(await drained.program.stop(), 0, drained.program.output.slice(-4000));
      await assertServedElsewhere(stage, drained.address, handedOver);
      await stage.trial.allFollow();
      drained.launch();
      await drained.ready();
    },
  },
];

/** Those of some devices that connected to this address last, at least one. */
async function servedBy(stage: ClusterStage, address: string, devices: readonly string[]): Promise<readonly string[]> {
  const seen = await stage.trial.fleet.look();
  const served = devices.filter((device) => seen.servedBy.get(device) === address);
  assert.ok(served.length > 0, `none of ${devices.length} devices is on ${address}, but on ${[...new Set(seen.servedBy.values())].join(", ")}`);
  return served;
}

async function assertServedElsewhere(stage: ClusterStage, address: string, devices: readonly string[]): Promise<void> {
  let left: readonly string[] = devices;
  await eventually(
    async () => {
      const seen = await stage.trial.fleet.look();
      left = devices.filter((device) => seen.servedBy.get(device) === address);
      return left.length === 0;
    },
    { timeoutMs: 60_000, everyMs: 250 },
  ).catch((error) => assert.fail(`${left.length} of ${devices.length} devices, such as ${left[0]}, found no other shard (${error.cause})`));
}
